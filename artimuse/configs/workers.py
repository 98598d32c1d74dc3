"""How many workers a run may have, as `--workers` says it."""

import re


def parse_workers(workers: str) -> tuple[int, int] | None:
    """Smallest and largest number from N or MIN:MAX; None for auto, (0, 0) for none: the work is done in this process.

    Raises ValueError for anything else.
    """
    if workers == "auto":
        return None
    if workers == "0":
        return 0, 0
    match = re.fullmatch(r"(\d+)(?::(\d+))?", workers)
    if match:
        low, high = int(match[1]), int(match[2] or match[1])
        if 1 <= low <= high:
            return low, high
    raise ValueError(f"--workers {workers}: expected auto, 0, N or MIN:MAX with 1 <= MIN <= MAX")
