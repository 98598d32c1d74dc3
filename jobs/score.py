"""`ray job submit ... -- python jobs/score.py INPUT OUTPUT ...`: the same flags as `artimuse score`."""

import sys

from artimuse.cli import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
