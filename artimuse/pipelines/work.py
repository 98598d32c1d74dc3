"""The rows that a run has to score: cut into units, run graph by graph, their shards finished as they get whole."""

import queue
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from artimuse.io.folder import Folder
from artimuse.pipelines.cluster import Workers
from artimuse.pipelines.gate import GateHandle, make_gate
from artimuse.pipelines.graph import Unit, cause_of, receipts
from artimuse.pipelines.rows import Condition, ScoreJob
from artimuse.pipelines.stopping import StopRequest
from artimuse.progress import RunProgress
from artimuse.sinks.finish import finish_shard
from artimuse.sinks.ledger import PartsLedger
from artimuse.sinks.lock import Lock

MIN_ROWS_PER_PART = 16
# Ray's driver keeps 10-14 KB per unit for as long as a graph lives (Ray 2.60), and a new graph loads the model anew.
UNITS_PER_GRAPH = 2_000
UNITS_PER_WORKER_AND_GRAPH = 64
# A finishing shard takes up to twice `finish.MAX_PART_BYTES` of memory.
MAX_FINISHING = 2
_POLL_S = 0.2


class Tally:
    """What the receipts of this run add up to."""

    def __init__(self) -> None:
        self.num_scored = 0
        """Rows of images that were tried, for the first time or again."""
        self.num_retried = 0
        """Of those, the ones that had failed before."""
        self.num_recovered = 0
        """Of those again, the ones that have a score now."""
        self.num_described = 0
        """Rows that got texts."""
        self.text_problems: Counter[str] = Counter()
        """Rows that should have got texts, by the reason why they did not."""
        self.seconds = dict.fromkeys(("fetch", "decode", "score", "write"), 0.0)
        """By all workers together; describing counts as scoring."""
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

    def add(self, receipt: Mapping[str, Any], *, rows_exist: bool) -> None:
        if not rows_exist:
            self.num_scored += receipt["num_rows"]
            if receipt["replaces"]:
                self.num_retried += receipt["num_rows"]
                self.num_recovered += receipt["num_rows"] - receipt["num_failed"]
        self.num_described += receipt["num_described"]
        self.text_problems.update(receipt["text_problems"])
        self.workers.update(receipt["workers"])
        for stage in self.seconds:
            self.seconds[stage] += receipt[f"{stage}_s"]


class Backlog:
    """The rows of a ledger that this run is to score: those not done, and failed ones if they are to be retried."""

    def __init__(self, ledger: PartsLedger, *, retry_failed: Collection[str] | None, limit: int | None) -> None:
        self.ledger = ledger
        self.retry_failed = retry_failed
        self.limit = limit
        self.num_rows = self.num_retries = 0
        for _, wanted, attempts in self._wanted():
            self.num_rows += len(wanted)
            self.num_retries += int((attempts[wanted] > 1).sum())

    def units(self, rows_per_part: int, finishing: "Finishing") -> Iterator[Unit]:
        """Units in the order of the plan; tells `finishing` of every shard before its first unit."""
        for shard, wanted, attempts in self._wanted():
            done = self.ledger.done_rows(shard)
            done[wanted] = True
            finishing.expect(shard, len(wanted), is_complete=bool(done.all()))
            for attempt in np.unique(attempts[wanted]):
                offsets = wanted[attempts[wanted] == attempt].astype(np.int32)
                for start in range(0, len(offsets), rows_per_part):
                    yield Unit(shard, offsets[start : start + rows_per_part], int(attempt))

    def _wanted(self) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int8]]]:
        """Shards with work to do: the offsets of the rows, and of every row of the shard the next attempt."""
        num_left = self.limit
        for shard in range(self.ledger.num_shards):
            attempts = self._attempts(shard)
            wanted = np.flatnonzero(attempts)[:num_left]
            if len(wanted):
                yield shard, wanted, attempts
            if num_left is not None:
                num_left -= len(wanted)
                if num_left == 0:
                    return

    def _attempts(self, shard: int) -> npt.NDArray[np.int8]:
        """Per row of the shard, the number of its next attempt; 0 for rows that are left alone."""
        attempts = np.where(self.ledger.done_rows(shard), 0, 1).astype(np.int8)
        if self.retry_failed is not None:
            failed = self.ledger.attempts_failed(shard, self.retry_failed)
            attempts[failed > 0] = failed[failed > 0] + 1
        return attempts


class TextBacklog:
    """Rows that are in the table, without the texts that this run is to give them."""

    def __init__(self, ledger: PartsLedger, condition: Condition, *, limit: int | None) -> None:
        self.ledger = ledger
        self.condition = condition
        self.limit = limit
        self.num_rows = sum(len(offsets) for _, offsets in self._wanted())

    def units(self, rows_per_part: int, finishing: "Finishing") -> Iterator[Unit]:
        """Units in the order of the plan; tells `finishing` of every shard before its first unit."""
        for shard, offsets in self._wanted():
            finishing.expect(shard, len(offsets), is_complete=bool(self.ledger.done_rows(shard).all()))
            for start in range(0, len(offsets), rows_per_part):
                yield Unit(shard, offsets[start : start + rows_per_part], 1)

    def _wanted(self) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
        """Shards with work to do, and the offsets of the rows."""
        num_left = self.limit
        for shard in range(self.ledger.num_shards):
            if num_left == 0:
                return
            offsets = np.sort(self.ledger.offsets_where(shard, self.condition))[:num_left].astype(np.int32)
            if len(offsets):
                yield shard, offsets
            if num_left is not None:
                num_left -= len(offsets)


class Finishing:
    """Finishes each shard, in a task on the cluster, when the last of its expected rows is written."""

    def __init__(self, output: Folder, stop: StopRequest) -> None:
        self.output = output
        self.stop = stop
        self._rows_left: Counter[int] = Counter()
        self._is_complete: dict[int, bool] = {}
        self._with_staged: set[int] = set()
        self._tasks: list[ray.ObjectRef[None]] = []

    def expect(self, shard: int, num_rows: int, *, is_complete: bool) -> None:
        """`is_complete`: with these rows the shard has them all."""
        self._rows_left[shard] = num_rows
        self._is_complete[shard] = is_complete

    def count(self, shard: int, num_rows: int, *, replaces: bool) -> None:
        """Rows that replace others are staged."""
        self._rows_left[shard] -= num_rows
        if replaces:
            self._with_staged.add(shard)
        if self._rows_left[shard] == 0:
            self._start(shard)

    def wait(self) -> None:
        """Waits for the tasks, and puts in place what an interrupted run has staged.

        After a stop request only as long as its grace lasts: the next run finishes what is left.
        """
        for shard in self._with_staged:
            if self._rows_left[shard]:
                self._is_complete[shard] = False
                self._start(shard)
        while self._tasks and self.stop.left_s:
            self._collect()

    def _start(self, shard: int) -> None:
        while len(self._tasks) >= MAX_FINISHING and self.stop.left_s:
            self._collect()
        self._tasks.append(_finish_shard.remote(self.output, shard, self._is_complete[shard]))

    def _collect(self) -> None:
        """Raises what a task raised."""
        done, self._tasks = ray.wait(self._tasks, timeout=_POLL_S)
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            raise (cause_of(error) or error) from error


@ray.remote(num_cpus=0)
def _finish_shard(output: Folder, shard: int, is_complete: bool) -> None:
    finish_shard(output, shard, is_complete=is_complete)


def work_off(
    backlog: Backlog | TextBacklog,
    job: ScoreJob,
    *,
    workers: Workers,
    progress: RunProgress,
    stop: StopRequest,
    lock: Lock,
    tally: Tally,
    most_rows: int,
) -> None:
    """Does the job on the backlog; after a stop request only on what is in flight, as long as its grace lasts.

    `most_rows` are written at a time. Raises OutputLocked if another run has taken OUTPUT away.
    """
    finishing = Finishing(job.output, stop)
    rows_per_part = _rows_per_part(most_rows, backlog.num_rows, workers)
    units = backlog.units(rows_per_part, finishing)
    units_per_graph = max(UNITS_PER_GRAPH, UNITS_PER_WORKER_AND_GRAPH * workers.max_size)
    with stop.draining():
        while not stop.is_set and (window := list(islice(units, units_per_graph))):
            gate = make_gate()
            graph = receipts(job, window, workers, gate, rows_per_part=rows_per_part)
            for receipt in _until_stopped(graph, gate, stop):
                lock.check()
                tally.add(receipt, rows_exist=job.rows_exist)
                failed = sum(receipt["text_problems"].values()) + (0 if job.rows_exist else receipt["num_failed"])
                progress.advance(rows=receipt["num_rows"], failed=failed, began_at=receipt["began_at"])
                finishing.count(receipt["shard"], receipt["num_rows"], replaces=receipt["replaces"])
        finishing.wait()


def _rows_per_part(most_rows: int, num_rows: int, workers: Workers) -> int:
    """Full parts for large runs; for small ones, enough parts that every worker gets some."""
    even = max(num_rows // (4 * workers.max_size), MIN_ROWS_PER_PART)
    return min(even, most_rows)


def _until_stopped(graph: Iterator[dict[str, Any]], gate: GateHandle, stop: StopRequest) -> Iterator[dict[str, Any]]:
    """The receipts of a graph; after a stop request, of those rows only that workers had begun."""
    # In a thread, because waiting for a receipt must not keep a stop request waiting.
    results: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(graph, results), name="receipts", daemon=True).start()
    num_rows = 0
    try:
        while not stop.is_set or (stop.left_s and num_rows < _close(gate)):
            try:
                result = results.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if result is None:
                return
            if isinstance(result, BaseException):
                raise result
            num_rows += result["num_rows"]
            yield result
    finally:
        gate.close.remote()  # whatever ended this, no worker begins anything new


def _close(gate: GateHandle) -> int:
    """The number of rows that come out of the graph, or have."""
    num_rows: int = ray.get(gate.close.remote())
    return num_rows


def _pump(graph: Iterator[dict[str, Any]], results: "queue.SimpleQueue[dict[str, Any] | BaseException | None]") -> None:
    try:
        for receipt in graph:
            results.put(receipt)
        results.put(None)
    except BaseException as error:  # noqa: BLE001 - thread boundary: raised again by the reader
        results.put(error)
