"""Working off a backlog: units go to the backend, their receipts are counted, and whole shards are compacted."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from artimuse.pipelines.backend import Backend, Sizes
from artimuse.pipelines.backlog import Backlog
from artimuse.pipelines.rows import Receipt, ScoreJob
from artimuse.pipelines.tally import Tally
from artimuse.runs.lock import Lock
from artimuse.runs.progress import RunProgress
from artimuse.runs.signals import StopRequest

MIN_ROWS_PER_PART = 16


class PendingShards:
    """Implements `backlog.ShardWatcher`: has each shard compacted when the last of its expected rows is written."""

    def __init__(self, job: ScoreJob, backend: Backend, stop: StopRequest) -> None:
        self.job = job
        self.backend = backend
        self.stop = stop
        self._rows_left: Counter[int] = Counter()
        self._is_complete: dict[int, bool] = {}
        self._with_staged: set[int] = set()

    def expect(self, shard: int, num_rows: int, *, is_complete: bool) -> None:
        self._rows_left[shard] = num_rows
        self._is_complete[shard] = is_complete

    def count(self, receipt: Receipt) -> None:
        """Rows that replace others are staged."""
        self._rows_left[receipt.shard] -= receipt.num_rows
        if receipt.replaces:
            self._with_staged.add(receipt.shard)
        if self._rows_left[receipt.shard] == 0:
            self._compact(receipt.shard)

    def finish(self) -> None:
        """Puts in place what was staged before a stop, and waits for all compactions.

        After a stop request only as long as its grace lasts: the next run compacts what is left.
        """
        for shard in self._with_staged:
            if self._rows_left[shard]:
                self._is_complete[shard] = False
                self._compact(shard)
        self.backend.wait(self.stop)

    def _compact(self, shard: int) -> None:
        self.backend.compact(self.job.output, shard, is_complete=self._is_complete[shard], stop=self.stop)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What the phases of a run that write rows have in common."""

    backend: Backend
    sizes: Sizes
    progress: RunProgress
    stop: StopRequest
    lock: Lock
    most_rows_per_part: int
    tally: Tally = field(default_factory=Tally)

    def do(self, job: ScoreJob, backlog: Backlog) -> None:
        """Does the job on the backlog; after a stop request only on what is in flight, as long as its grace lasts.

        Raises OutputLocked if another run has taken OUTPUT away.
        """
        shards = PendingShards(job, self.backend, self.stop)
        rows_per_part = self._rows_per_part(backlog.num_rows)
        units = backlog.units(rows_per_part, shards)
        with self.stop.draining():
            while not self.stop.is_set and (window := list(islice(units, self._units_per_graph))):
                receipts = self.backend.receipts(job, window, rows_per_part=rows_per_part, stop=self.stop)
                with closing(receipts):
                    for receipt in receipts:
                        self.lock.check()
                        self._count(receipt, rows_exist=job.rows_exist)
                        shards.count(receipt)
            shards.finish()

    def _count(self, receipt: Receipt, *, rows_exist: bool) -> None:
        self.tally.add(receipt, rows_exist=rows_exist)
        failed = sum(receipt.text_problems.values()) + (0 if rows_exist else receipt.num_failed)
        self.progress.advance(rows=receipt.num_rows, failed=failed, began_at=receipt.began_at)

    def _rows_per_part(self, num_rows: int) -> int:
        """Full parts for large runs; for small ones, enough parts that every worker gets some."""
        even = max(num_rows // (4 * self.backend.num_workers), MIN_ROWS_PER_PART)
        return min(even, self.most_rows_per_part)

    @property
    def _units_per_graph(self) -> int:
        return max(self.sizes.units_per_graph, self.sizes.units_per_worker_and_graph * self.backend.num_workers)
