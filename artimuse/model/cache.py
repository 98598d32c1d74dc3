"""Where copies of checkpoints lie: a path of this machine, so an environment variable may say it."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Where copies of remote checkpoints and digests of weights lie: ARTIMUSE_CACHE, else ~/.cache/artimuse."""
    return Path(os.environ.get("ARTIMUSE_CACHE") or "~/.cache/artimuse").expanduser().absolute()
