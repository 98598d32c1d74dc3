"""`artimuse score`: images to the score table, as a run that can be stopped and started again."""

import hashlib
import logging
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import artimuse
from artimuse.configs import ScoreConfig
from artimuse.errors import BadOutput, Interrupted, RowError
from artimuse.images import IMAGE_SIZE_PX
from artimuse.model.digest import weights_digest
from artimuse.model.find import Checkpoint, find_checkpoint
from artimuse.pipelines import cluster
from artimuse.pipelines.graph import Unit, receipts
from artimuse.pipelines.node_check import check_nodes
from artimuse.pipelines.report import UNTRAINED_NOTE, ScoreReport, read_table_facts
from artimuse.pipelines.rows import ScoreJob
from artimuse.progress import RunProgress
from artimuse.scoring import STRATEGIES
from artimuse.sinks.parquet import PARTS, ParquetSink, PartsLedger
from artimuse.sinks.run_file import read_run, write_run
from artimuse.sources import open_source
from artimuse.sources.fetch import fetch
from artimuse.sources.location import Location, locations
from artimuse.sources.plan import num_shard_rows, plan_carried_schema, read_plan_rows, write_plan
from artimuse.storage import Folder

logger = logging.getLogger(__name__)

ROWS_PER_SHARD = 50_000
# A part is what a crash can cost, and one file: large enough that files stay few.
ROWS_PER_PART = 1024
MIN_ROWS_PER_PART = 16
# Ray's driver keeps 10-14 KB per unit for as long as a graph lives (Ray 2.60), and a new graph loads the model anew.
UNITS_PER_GRAPH = 2_000
UNITS_PER_WORKER_AND_GRAPH = 64
NUM_WITNESSES = 4
MAX_WITNESS_CANDIDATES = 64

_VERSIONS_OF = ("ray", "torch", "transformers", "pillow", "pyarrow", "numpy")


def run(config: ScoreConfig, console: Console) -> ScoreReport:
    """Scores what OUTPUT does not have yet.

    Raises BadInput, BadCheckpoint, BadOutput, RunMismatch, ClusterProblem; Interrupted when stopped, with all
    finished parts on disk.
    """
    if cluster.is_submitted_job():
        cluster.refuse_relative_paths(config)
    progress = RunProgress(console)
    output = Folder.at(config.output)
    with progress.phase("planning"):
        model = _Model.of(config)
        plan = _open_plan(config, output)
    with progress.phase("starting"):
        cluster.connect(debug=config.debug)
        workers = cluster.plan_workers(config, weight_bytes=model.num_bytes)
        resolved = cluster.resolve_engine(config, workers, model=model.name)
        record = _record(resolved, output, model, plan)
        ledger = _open_ledger(output, record)
        job = _job(resolved, output, plan["rows_per_shard"])
        check_nodes(job, weights=model.digest)
    with progress.phase("scoring"):
        tally = _score_pending(job, ledger, workers, progress)
        images_per_s, working_s = progress.rate, progress.working_s
    progress.split_phase("scoring", "loading the model", last_s=working_s)
    with progress.phase("checking"):
        facts = read_table_facts(output, num_rows=plan["num_rows"])
    report = ScoreReport(
        output=output.url(),
        model=model.name,
        note=None if model.is_trained else UNTRAINED_NOTE,
        num_rows=facts.num_rows,
        num_failed=facts.num_failed,
        errors=facts.errors,
        score_quantiles=facts.quantiles,
        num_new_rows=tally.num_rows,
        images_per_s=round(images_per_s, 3),
        phase_s={name: round(seconds, 2) for name, seconds in progress.phase_s.items()},
        worker_s={name: round(seconds, 2) for name, seconds in tally.seconds.items()},
        rows_by_worker_node=dict(tally.workers),
        skipped=plan["skipped"],
        max_failed=config.max_failed,
    )
    write_run(output, {**record, "status": "finished", "finished_at": _now(), "report": report.as_dict()})
    return report


@dataclass(frozen=True, kw_only=True, slots=True)
class _Model:
    """The checkpoint as the driver found it; nothing for an engine without one."""

    name: str
    digest: str | None
    num_bytes: int
    is_trained: bool

    @staticmethod
    def of(config: ScoreConfig) -> "_Model":
        if config.engine == "fake":
            return _Model(name="fake", digest=None, num_bytes=0, is_trained=True)
        checkpoint: Checkpoint = find_checkpoint(config.model)
        shards = checkpoint.directory.glob("*.safetensors")
        return _Model(
            name=checkpoint.name,
            digest=weights_digest(checkpoint.directory),
            # Stored in bfloat16, held in float32 on the CPU.
            num_bytes=2 * sum(shard.stat().st_size for shard in shards),
            is_trained=checkpoint.is_trained,
        )


class _Tally:
    """What the receipts of this run add up to."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.seconds = dict.fromkeys(("fetch", "decode", "score", "write"), 0.0)
        """By all workers together."""
        self.workers: Counter[str] = Counter()
        """Rows by the node that scored them."""

    def add(self, receipt: Mapping[str, Any]) -> None:
        self.num_rows += receipt["num_rows"]
        self.workers.update(receipt["workers"])
        for stage in self.seconds:
            self.seconds[stage] += receipt[f"{stage}_s"]


def _open_plan(config: ScoreConfig, output: Folder) -> dict[str, Any]:
    """The plan of an earlier run of this output, or a new one."""
    record = read_run(output)
    if record is not None:
        return dict(record["plan"])
    foreign = [name for name in output.names() if not name.startswith(".")] + output.names(PARTS)
    if foreign:
        raise BadOutput(f"{output.url()} has files of its own ({foreign[0]}); choose a new or empty OUTPUT")
    source = open_source(
        config.input,
        formats=config.limits.formats,
        image_column=config.image_column,
        allow_http=config.allow_http,
    )
    summary = write_plan(source, output, rows_per_shard=ROWS_PER_SHARD)
    return {
        "num_rows": summary.num_rows,
        "num_shards": summary.num_shards,
        "rows_per_shard": ROWS_PER_SHARD,
        "skipped": dict(summary.skipped),
    }


def _record(config: ScoreConfig, output: Folder, model: _Model, plan: Mapping[str, Any]) -> dict[str, Any]:
    """run.json as it stands before the first row of this run."""
    strategy = STRATEGIES[config.strategy]
    return {
        "artimuse": artimuse.__version__,
        "status": "running",
        "started_at": _now(),
        "note": None if model.is_trained else UNTRAINED_NOTE,
        "fingerprints": {
            "plan": {
                "input": _absolute(config.input),
                "image_column": config.image_column,
                "image_metadata": config.image_metadata,
            },
            "score": {
                "weights": model.digest,
                "strategy": strategy.name,
                "question": hashlib.sha256(strategy.question.encode()).hexdigest(),
                "pixels": f"pillow bicubic {IMAGE_SIZE_PX}",
                "dtype": config.dtype,
                "engine": config.engine,
            },
        },
        "plan": dict(plan),
        "config": asdict(config) | {"input": _absolute(config.input), "output": output.url()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS_OF}},
    }


def _open_ledger(output: Folder, record: Mapping[str, Any]) -> PartsLedger:
    """Writes run.json for a new run; raises RunMismatch if OUTPUT was made by a different one."""
    if read_run(output) is None:
        write_run(output, record)
    ledger = ParquetSink(output, record["plan"]["rows_per_shard"]).open(record["fingerprints"])
    write_run(output, record)
    return ledger


def _job(config: ScoreConfig, output: Folder, rows_per_shard: int) -> ScoreJob:
    return ScoreJob(
        output=output,
        rows_per_shard=rows_per_shard,
        engine=config.engine_config,
        strategy=config.strategy,
        limits=config.limits,
        with_metadata=config.image_metadata,
        carried=plan_carried_schema(output),
        witnesses=tuple(_witnesses(config, output)),
    )


def _witnesses(config: ScoreConfig, output: Folder) -> Iterator[Location]:
    """A few images of the plan that can be read here, looked for among a bounded number."""
    num_rows = num_shard_rows(output, 0)
    candidates = np.unique(np.linspace(0, num_rows - 1, MAX_WITNESS_CANDIDATES, dtype=np.int64))
    images = locations(read_plan_rows(output, 0, candidates))
    readable = (image for image in images if not isinstance(fetch(image, config.limits), RowError))
    return islice(readable, NUM_WITNESSES)


def _score_pending(job: ScoreJob, ledger: PartsLedger, workers: cluster.Workers, progress: RunProgress) -> _Tally:
    """Scores every row that is not done, graph by graph."""
    num_done = ledger.num_done()
    num_pending = ledger.num_rows - num_done
    progress.expect(total=ledger.num_rows, done=num_done)
    tally = _Tally()
    rows_per_part = _rows_per_part(num_pending, workers)
    units = _pending_units(ledger, rows_per_part)
    units_per_graph = max(UNITS_PER_GRAPH, UNITS_PER_WORKER_AND_GRAPH * workers.max_size)
    try:
        while window := list(islice(units, units_per_graph)):
            for receipt in receipts(job, window, workers, rows_per_part=rows_per_part):
                tally.add(receipt)
                progress.advance(rows=receipt["num_rows"], failed=receipt["num_failed"], began_at=receipt["began_at"])
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at {progress.done} of {progress.total} images; the same command goes on from there"
        ) from None
    return tally


def _rows_per_part(num_pending: int, workers: cluster.Workers) -> int:
    """Full parts for large runs; for small ones, enough parts that every worker gets some."""
    return int(np.clip(num_pending // (4 * workers.max_size), MIN_ROWS_PER_PART, ROWS_PER_PART))


def _pending_units(ledger: PartsLedger, rows_per_part: int) -> Iterator[Unit]:
    for shard in range(ledger.num_shards):
        pending = np.flatnonzero(~ledger.done_rows(shard)).astype(np.int32)
        for start in range(0, len(pending), rows_per_part):
            yield Unit(shard, pending[start : start + rows_per_part])


def _absolute(place: str) -> str:
    """A path that means the same from another working directory; URLs and globs are kept."""
    return place if "://" in place else str(Path(place).absolute())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
