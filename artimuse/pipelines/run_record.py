"""What run.json says of a scoring run, and opening the plan and the ledger that it stands for."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import artimuse
from artimuse.attributes import ATTRIBUTES, attributes_named
from artimuse.configs.score import ScoreConfig
from artimuse.errors import BadOutput
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.pipelines.rows import EVERY_ROW, TextJob
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES
from artimuse.sinks.finish import finish_shard
from artimuse.sinks.ledger import PartsLedger
from artimuse.sinks.parquet import ParquetSink
from artimuse.sinks.parts import PARTS
from artimuse.sinks.run_file import read_run, write_run
from artimuse.sources import open_source
from artimuse.sources.plan import write_plan

ROWS_PER_SHARD = 50_000

_VERSIONS_OF = ("ray", "torch", "transformers", "pillow", "pyarrow", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The checkpoint as the driver found it; nothing for an engine without one."""

    name: str
    digest: str | None
    num_bytes: int
    """In a worker's memory."""
    note: str | None
    """What a reader of its scores must know."""

    @staticmethod
    def of(config: ScoreConfig) -> "ModelFacts":
        """Raises BadCheckpoint if there is no such model."""
        if config.engine == "fake":
            return ModelFacts(name="fake", digest=None, num_bytes=0, note=None)
        checkpoint = find_checkpoint(config.model)
        shards = checkpoint.directory.glob("*.safetensors")
        return ModelFacts(
            name=checkpoint.name,
            digest=weights_digest(checkpoint.directory),
            # Stored in bfloat16, held in float32 on the CPU.
            num_bytes=2 * sum(shard.stat().st_size for shard in shards),
            note=checkpoint.note,
        )


def refuse_foreign_files(output: Folder) -> None:
    """Raises BadOutput if there are files in OUTPUT that no run of ours has made."""
    if read_run(output) is None:
        foreign = [name for name in output.names() if not name.startswith(".")] + output.names(PARTS)
        if foreign:
            raise BadOutput(f"{output.url()} has files of its own ({foreign[0]}); choose a new or empty OUTPUT")


def open_plan(config: ScoreConfig, output: Folder) -> dict[str, Any]:
    """The plan of an earlier run of this output, or a new one. Raises BadInput if INPUT cannot be planned."""
    record = read_run(output)
    if record is not None:
        return dict(record["plan"])
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


def new_record(config: ScoreConfig, output: Folder, model: ModelFacts, plan: Mapping[str, Any]) -> dict[str, Any]:
    """run.json as it stands before the first row of this run."""
    strategy = STRATEGIES[config.strategy]
    texts = text_job(config)
    earlier = read_run(output) or {}
    return {
        "artimuse": artimuse.__version__,
        "status": "running",
        "started_at": now(),
        "note": model.note,
        "fingerprints": {
            "plan": {
                "input": _absolute(config.input),
                "image_column": config.image_column,
                "image_metadata": config.image_metadata,
            },
            # Texts that are there stay what they are, also when a run asks for none.
            **{kind: fields for kind, fields in earlier.get("fingerprints", {}).items() if kind == "texts"},
            **({"texts": _texts_fingerprint(config, texts, model)} if texts else {}),
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


def text_job(config: ScoreConfig) -> TextJob | None:
    """None if the run asks for no texts."""
    attributes = attributes_named(config.attributes)
    if not attributes:
        return None
    slugs = tuple(attribute.slug for attribute in attributes)
    return TextJob(attributes=slugs, where=config.attributes_where or EVERY_ROW, max_new_tokens=config.max_new_tokens)


def _texts_fingerprint(config: ScoreConfig, texts: TextJob, model: ModelFacts) -> dict[str, Any]:
    return {
        "weights": model.digest,
        "attributes": ",".join(texts.attributes),
        "questions": hashlib.sha256("\n".join(map(attribute_question, ATTRIBUTES)).encode()).hexdigest(),
        "max_new_tokens": texts.max_new_tokens,
        "dtype": config.dtype,
        "engine": config.engine,
    }


def open_ledger(output: Folder, record: Mapping[str, Any]) -> PartsLedger:
    """What is done, after tidying up behind an interrupted run; writes run.json for a new one.

    Raises RunMismatch if OUTPUT was made with other settings.
    """
    if read_run(output) is None:
        write_run(output, record)
    sink = ParquetSink(output, record["plan"]["rows_per_shard"])
    ledger = sink.open(record["fingerprints"])
    ledger.num_done()  # reads all shards, and so finds those with a row in two parts
    untidy = ledger.staged_shards | ledger.overlapping_shards | ledger.scattered_shards()
    for shard in sorted(untidy):
        finish_shard(output, shard, is_complete=bool(ledger.done_rows(shard).all()))
    return sink.open(record["fingerprints"]) if untidy else ledger


def read_status(output: Folder) -> str | None:
    """`running` (or killed), `interrupted`, `limited` by --limit, or `finished`; None without a run."""
    record = read_run(output)
    return record["status"] if record else None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _absolute(place: str) -> str:
    """A path that means the same from another working directory; URLs are kept."""
    return place if "://" in place else str(Path(place).absolute())
