"""`ray job submit ... -- python jobs/train.py ANNOTATIONS OUTPUT --preset ...`: the same flags as `artimuse train`."""

import sys

from artimuse.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
