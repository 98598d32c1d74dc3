"""How many workers a run may have, as `--workers` says it."""

import re


class HasWorkers:
    """What a configuration with the option `--workers` knows."""

    workers: str

    @property
    def worker_range(self) -> tuple[int, int] | None:
        """Smallest and largest number from N or MIN:MAX; None for auto, (0, 0) for none.

        Raises ValueError for anything else.
        """
        if self.workers == "auto":
            return None
        if self.workers == "0":
            return 0, 0
        match = re.fullmatch(r"(\d+)(?::(\d+))?", self.workers)
        if match:
            low, high = int(match[1]), int(match[2] or match[1])
            if 1 <= low <= high:
                return low, high
        raise ValueError(f"--workers {self.workers}: expected auto, 0, N or MIN:MAX with 1 <= MIN <= MAX")

    @property
    def is_in_process(self) -> bool:
        """True if the work is done in this process, without Ray and its workers."""
        return self.worker_range == (0, 0)
