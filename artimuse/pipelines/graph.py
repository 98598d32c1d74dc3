"""The Ray Data graph of a scoring run: units of work in, receipts of written parts out.

On CPUs a worker decodes, scores and writes its units: nothing crosses a process. Workers with GPUs are fed by decoders
on CPUs, and others write what they have scored.
"""

import gc
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from artimuse.errors import ArtiMuseError, ClusterProblem
from artimuse.pipelines.cluster import Workers
from artimuse.pipelines.gate import GateHandle, Passage
from artimuse.pipelines.rows import ROWS_PER_PIXEL_BLOCK, RowDecoder, RowDescriber, RowScorer, RowWriter, ScoreJob

logger = logging.getLogger(__name__)

# Rows decoded before they are scored, in a worker that does both: 19 MB of pixels.
ROWS_PER_CPU_CHUNK = 32
# Actors, because Ray ends the idle process of a task after a second, and a new one costs seconds of CPU (Ray 2.60).
MAX_WRITERS = 4
WRITER_CPUS = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The rows of one plan shard that become one part."""

    shard: int
    offsets: npt.NDArray[np.int32]
    """Positions within the shard."""
    attempt: int
    """1, or one more than the last time for rows that failed."""

    @property
    def key(self) -> tuple[int, int]:
        """Tells it from the other units of its graph."""
        return self.shard, int(self.offsets[0])

    @staticmethod
    def of(row: dict[str, Any]) -> "Unit":
        return Unit(row["shard"], np.frombuffer(row["offsets"], dtype=np.int32), row["attempt"])

    def as_block(self) -> pa.Table:
        return pa.table({"shard": [self.shard], "offsets": [self.offsets.tobytes()], "attempt": [self.attempt]})


class DecodeActor:
    """Units in, rows with pixels out."""

    def __init__(self, job: ScoreJob, gate: GateHandle) -> None:
        self.decode = _made(lambda: RowDecoder(job))
        self.passage = Passage(gate)

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        for unit in map(Unit.of, units.to_pylist()):
            chunks = self.decode(unit.shard, unit.offsets, unit.attempt, ROWS_PER_PIXEL_BLOCK)
            yield from self.passage.through(unit.key, len(unit.offsets), chunks)


class ScoreActor:
    """Rows with pixels in, score-table rows out."""

    def __init__(self, job: ScoreJob) -> None:
        self.score = _made(lambda: _scorer(job))

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self.score(rows)


class WriteActor:
    """Score-table rows in, receipts out."""

    def __init__(self, job: ScoreJob) -> None:
        self.write = RowWriter(job)

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self.write(rows)


class UnitActor:
    """Units in, receipts out."""

    def __init__(self, job: ScoreJob, gate: GateHandle) -> None:
        self.decode = _made(lambda: RowDecoder(job))
        self.score = _made(lambda: _scorer(job))
        self.write = RowWriter(job)
        self.passage = Passage(gate)

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        for unit in map(Unit.of, units.to_pylist()):
            chunks = self.decode(unit.shard, unit.offsets, unit.attempt, ROWS_PER_CPU_CHUNK)
            passed = self.passage.through(unit.key, len(unit.offsets), chunks)
            if scored := [self.score(rows) for rows in passed]:
                yield self.write(pa.concat_tables(scored))


def receipts(
    job: ScoreJob, units: Iterable[Unit], workers: Workers, gate: GateHandle, *, rows_per_part: int
) -> Iterator[dict[str, Any]]:
    """Runs the units, as far as the gate lets them in, and yields a receipt for every part as it is written.

    Raises the ArtiMuseError of the worker that failed, if that is why the run ended.
    """
    blocks = [unit.as_block() for unit in units]
    data: ray.data.Dataset = ray.data.from_arrow(blocks)
    entry: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "fn_constructor_args": (job, gate)}
    sized: dict[str, Any] = {
        "compute": workers.pool(len(blocks)),
        "num_cpus": workers.num_cpus,
        "num_gpus": workers.num_gpus,
    }
    if workers.num_gpus:
        decoders = ActorPoolStrategy(min_size=1, max_size=workers.max_decoders, max_tasks_in_flight_per_actor=2)
        data = data.map_batches(DecodeActor, compute=decoders, num_cpus=1, **entry)
        later: dict[str, Any] = {"batch_format": "pyarrow", "fn_constructor_args": (job,)}
        data = data.map_batches(ScoreActor, batch_size=min(ROWS_PER_PIXEL_BLOCK, rows_per_part), **sized, **later)
        writers = ActorPoolStrategy(min_size=1, max_size=min(MAX_WRITERS, len(blocks)))
        data = data.map_batches(WriteActor, batch_size=rows_per_part, compute=writers, num_cpus=WRITER_CPUS, **later)
    else:
        data = data.map_batches(UnitActor, **sized, **entry)
    problem: ArtiMuseError | None = None
    try:
        for receipt in data.iter_rows():
            yield receipt | {name: json.loads(receipt[name]) for name in ("workers", "text_problems")}
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


def cause_of(error: Exception) -> ArtiMuseError | None:
    """The exception of ours inside Ray's, which pass for it by type but carry a stack trace as their message.

    Its first line is what we wrote: Ray appends advice on its own settings (Ray 2.60).
    """
    inner: BaseException | None = error
    while inner is not None and (type(inner).__module__.startswith("ray.") or hasattr(inner, "cause")):
        inner = getattr(inner, "cause", None) or inner.__cause__
    return type(inner)(str(inner).split("\n", 1)[0]) if isinstance(inner, ArtiMuseError) else None


def _scorer(job: ScoreJob) -> RowScorer | RowDescriber:
    return (RowDescriber if job.rows_exist else RowScorer)(job, _this_node())


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
