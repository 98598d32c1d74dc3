"""The Ray Data graph of a scoring run: units of work in, receipts of written parts out.

On CPUs a worker decodes, scores and writes its units: nothing crosses a process. Workers with GPUs are fed by decoders
on CPUs, and others write what they have scored.
"""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar, cast

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from artimuse.errors import ArtiMuseError, ClusterProblem
from artimuse.images.decode import leave_limits_to_decode
from artimuse.pipelines.admission import AdmissionHandle, WorkerAdmission
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.rows import (
    ROWS_PER_PIXEL_BLOCK,
    Receipt,
    RowDecoder,
    RowDescriber,
    RowScorer,
    RowWriter,
    ScoreJob,
    open_scorer,
)
from artimuse.pipelines.workers import Workers
from artimuse.runs.cluster import cause_of

logger = logging.getLogger(__name__)

# Rows decoded before they are scored, in a worker that does both: 19 MB of pixels.
ROWS_PER_CPU_CHUNK = 32
# Actors, because Ray ends the idle process of a task after a second, and a new one costs seconds of CPU (Ray 2.60).
MAX_WRITERS = 4
WRITER_CPUS = 0.1


class DecodeActor:
    """Units in, rows with pixels out."""

    def __init__(self, job: ScoreJob, admission: AdmissionHandle) -> None:
        leave_limits_to_decode()
        self.decode = _made(lambda: RowDecoder(job))
        self.admission = WorkerAdmission(admission)

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        for unit in Unit.all_of(units):
            chunks = self.decode(unit.shard, unit.offsets, unit.attempt, ROWS_PER_PIXEL_BLOCK)
            yield from self.admission.admitted(unit.key, len(unit.offsets), chunks)


class ScoreActor:
    """Rows with pixels in, score-table rows out."""

    def __init__(self, job: ScoreJob) -> None:
        self.score = _made(lambda: open_scorer(job, _this_node()))

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self.score(rows)


class WriteActor:
    """Score-table rows in, receipts out."""

    def __init__(self, job: ScoreJob) -> None:
        self.write = RowWriter(job)

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([receipt.as_row() for receipt in self.write(rows)])


class UnitActor:
    """Units in, receipts out."""

    def __init__(self, job: ScoreJob, admission: AdmissionHandle) -> None:
        leave_limits_to_decode()
        self.decode = _made(lambda: RowDecoder(job))
        self.score = _made(lambda: open_scorer(job, _this_node()))
        self.write = WriteActor(job)
        self.admission = WorkerAdmission(admission)

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        for unit in Unit.all_of(units):
            chunks = self.decode(unit.shard, unit.offsets, unit.attempt, ROWS_PER_CPU_CHUNK)
            admitted = self.admission.admitted(unit.key, len(unit.offsets), chunks)
            if scored := [self.score(rows) for rows in admitted]:
                yield self.write(pa.concat_tables(scored))


def run_graph(
    job: ScoreJob, units: Sequence[Unit], workers: Workers, admission: AdmissionHandle, *, rows_per_part: int
) -> Iterator[Receipt]:
    """Runs the units, as far as they are admitted, and yields a receipt for every part as it is written.

    Raises the ArtiMuseError of the worker that failed, if that is why the run ended.
    """
    data = _graph(job, units, workers, admission, rows_per_part)
    problem: ArtiMuseError | None = None
    try:
        for row in data.iter_rows():
            yield Receipt.of(row)
    except Exception as error:  # process boundary: Ray wraps what a worker raised
        problem = cause_of(error)
        if problem is None:
            raise
        logger.debug("a worker failed", exc_info=error)
    finally:
        # Ray Data leaves reference cycles behind, and until they are found the actors keep their GPUs (Ray 2.60).
        del data
        gc.collect()
    if problem:
        raise problem


def _graph(
    job: ScoreJob, units: Sequence[Unit], workers: Workers, admission: AdmissionHandle, rows_per_part: int
) -> "ray.data.Dataset":
    data: ray.data.Dataset = ray.data.from_arrow([unit.as_block() for unit in units])
    entry: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "fn_constructor_args": (job, admission)}
    sized: dict[str, Any] = {
        "compute": workers.pool(len(units)),
        "num_cpus": workers.num_cpus,
        "num_gpus": workers.num_gpus,
    }
    if not workers.num_gpus:
        return data.map_batches(UnitActor, **sized, **entry)
    decoders = ActorPoolStrategy(min_size=1, max_size=workers.max_decoders, max_tasks_in_flight_per_actor=2)
    data = data.map_batches(DecodeActor, compute=decoders, num_cpus=1, **entry)
    later: dict[str, Any] = {"batch_format": "pyarrow", "fn_constructor_args": (job,)}
    data = data.map_batches(ScoreActor, batch_size=min(ROWS_PER_PIXEL_BLOCK, rows_per_part), **sized, **later)
    writers = ActorPoolStrategy(min_size=1, max_size=min(MAX_WRITERS, len(units)))
    return data.map_batches(WriteActor, batch_size=rows_per_part, compute=writers, num_cpus=WRITER_CPUS, **later)


Stage = TypeVar("Stage", RowDecoder, RowScorer | RowDescriber)


def _made(make: Callable[[], Stage]) -> Stage:
    """The stage, or what raises its error on the first call: of an actor's constructor Ray keeps only the text."""
    try:
        return make()
    except ClusterProblem as problem:
        error: ArtiMuseError = ClusterProblem(f"node {_this_node()}: {problem}")
    except ArtiMuseError as problem:
        error = problem

    def broken(*_: object) -> NoReturn:
        raise error

    return cast(Stage, broken)


def _this_node() -> str:
    node_ip: str = ray.util.get_node_ip_address()
    return f"{node_ip}/{ray.get_runtime_context().get_node_id()[:8]}"
