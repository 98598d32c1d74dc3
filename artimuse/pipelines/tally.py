"""What the receipts of a run add up to."""

from collections import Counter

from artimuse.pipelines.rows.receipt import Receipt


class Tally:
    """Counts of rows, and seconds of all workers together."""

    def __init__(self) -> None:
        self.num_scored = 0
        """Rows of images that were tried, for the first time or again."""
        self.num_retried = 0
        """The number of scored rows that had failed before."""
        self.num_recovered = 0
        """The number of retried rows that have a score now."""
        self.num_described = 0
        """Rows that got texts."""
        self.text_problems: Counter[str] = Counter()
        """Rows that should have got texts, by the reason why they did not."""
        self.seconds = dict.fromkeys(("fetch", "decode", "score", "write"), 0.0)
        self.workers: Counter[str] = Counter()
        """Rows by the node that did the work."""

    @property
    def num_new(self) -> int:
        """Rows that were not there before."""
        return self.num_scored - self.num_retried

    @property
    def num_rows(self) -> int:
        """Rows that were written."""
        return sum(self.workers.values())

    def add(self, receipt: Receipt, *, rows_exist: bool) -> None:
        """`rows_exist`: the rows had their scores, and got texts only."""
        if not rows_exist:
            self.num_scored += receipt.num_rows
            if receipt.replaces:
                self.num_retried += receipt.num_rows
                self.num_recovered += receipt.num_rows - receipt.num_failed
        self.num_described += receipt.num_described
        self.text_problems.update(receipt.text_problems)
        self.workers.update(receipt.workers)
        for stage in self.seconds:
            self.seconds[stage] += getattr(receipt, f"{stage}_s")
