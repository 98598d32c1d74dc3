"""What run.json says of a scoring run: what it is made of, and by which fingerprints another run is told from it."""

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import artimuse
from artimuse.attributes import ATTRIBUTES, attributes_named
from artimuse.configs.score import ScoreConfig
from artimuse.images.decode import IMAGE_SIZE_PX, decoder_versions
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.pipelines.rows import TextJob
from artimuse.prompts import attribute_question
from artimuse.runs.record import now, package_versions
from artimuse.scoring import STRATEGIES
from artimuse.table.condition import EVERY_ROW
from artimuse.table.open import has_rows
from artimuse.table.plan import PlanFacts
from artimuse.table.record import RUN_FILE, ScoreRecord

_VERSIONS_OF = ("ray", "torch", "transformers", "pillow", "pyarrow", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The checkpoint as the driver found it; nothing for an engine without one."""

    name: str
    digest: str | None
    num_bytes: int
    """The size of the weights in a worker's memory."""
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


def new_record(config: ScoreConfig, output: Folder, model: ModelFacts, plan: PlanFacts) -> ScoreRecord:
    """run.json as it stands before the first row of this run. `config` has its device and precision resolved."""
    earlier = RUN_FILE.read(output)
    fingerprints = _fingerprints(config, output, model)
    is_same = earlier is not None and earlier.fingerprints.get("score") == fingerprints["score"]
    return ScoreRecord(
        artimuse=artimuse.__version__,
        status="running",
        started_at=now(),
        note=model.note,
        fingerprints=fingerprints,
        plan=plan,
        config=asdict(config) | {"input": _absolute(config.input), "output": output.url()},
        # Of a run that was killed, until this one is compared itself.
        parity=earlier.parity if earlier and is_same else None,
        starts=(*earlier.starts, earlier.start) if earlier else (),
        versions={"python": platform.python_version(), **package_versions(_VERSIONS_OF)},
    )


def text_job(config: ScoreConfig) -> TextJob | None:
    """None if the run asks for no texts."""
    attributes = attributes_named(config.attributes)
    if not attributes:
        return None
    slugs = tuple(attribute.slug for attribute in attributes)
    return TextJob(attributes=slugs, where=config.attributes_where or EVERY_ROW, max_new_tokens=config.max_new_tokens)


def plan_fingerprint(config: ScoreConfig) -> Mapping[str, Any]:
    """What the plan of a run depends on."""
    return {
        "input": _absolute(config.input),
        "image_column": config.image_column,
        "uri_column": config.uri_column,
        # Records of versions without this option have nothing here either.
        "tar_ids": None if config.tar_ids == "keys" else config.tar_ids,
        "image_metadata": config.image_metadata,
    }


def _fingerprints(config: ScoreConfig, output: Folder, model: ModelFacts) -> Mapping[str, Mapping[str, Any]]:
    strategy = STRATEGIES[config.strategy]
    earlier, texts = RUN_FILE.read(output), text_job(config)
    fingerprints: dict[str, Mapping[str, Any]] = {"plan": plan_fingerprint(config), "decoder": decoder_versions()}
    if config.accept_decoder and earlier and "decoder" in earlier.fingerprints:
        fingerprints["decoder"] = earlier.fingerprints["decoder"]
    if texts:
        fingerprints["texts"] = _texts_fingerprint(config, texts, model)
    elif earlier and "texts" in earlier.fingerprints and has_rows(output):
        # Texts that are there stay what they are, also when a run asks for none.
        fingerprints["texts"] = earlier.fingerprints["texts"]
    fingerprints["score"] = {
        "weights": model.digest,
        "strategy": strategy.name,
        "question": hashlib.sha256(strategy.question.encode()).hexdigest(),
        "pixels": f"pillow bicubic {IMAGE_SIZE_PX}",
        "dtype": config.dtype,
        "engine": config.engine,
    }
    return fingerprints


def _texts_fingerprint(config: ScoreConfig, texts: TextJob, model: ModelFacts) -> Mapping[str, Any]:
    return {
        "weights": model.digest,
        "attributes": ",".join(texts.attributes),
        "questions": hashlib.sha256("\n".join(map(attribute_question, ATTRIBUTES)).encode()).hexdigest(),
        "max_new_tokens": texts.max_new_tokens,
        "dtype": config.dtype,
        "engine": config.engine,
    }


def _absolute(location: str) -> str:
    """A path that means the same from another working directory, `..` and a last `/` resolved; URLs are kept."""
    return location if "://" in location else os.path.abspath(Path(location).expanduser())  # noqa: PTH100 - pathlib keeps `..`
