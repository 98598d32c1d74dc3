"""train.json: what a training run is made of, and how far it got. Its examples are whole if and only if it is there."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import artimuse
from artimuse.configs.train import TrainConfig
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.runs.record import RecordFile, differences, package_versions
from artimuse.training.data.plan import ExampleCounts

MAY_CHANGE = frozenset(
    {
        "output",
        "workers",
        "cpus_per_worker",
        "zero",
        "gradient_checkpointing",
        "max_failures",
        "eval_steps",
        "checkpoint_steps",
        "checkpoint_minutes",
        "keep_checkpoints",
        "tracker",
        "json",
        "debug",
    }
)
"""Settings that do not say what is trained, but on what and how it is looked after."""

_VERSIONS_OF = ("ray", "torch", "transformers", "peft", "deepspeed")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRecord:
    """The contents of train.json."""

    status: Literal["unfinished", "finished"]
    config: Mapping[str, Any]
    base_digest: str
    """The digest of the base's weights."""
    num_examples: int
    num_validation_examples: int
    num_images: int
    num_images_by_dataset: Mapping[str, int]
    versions: Mapping[str, str]
    exported_step: int | None = None
    """None until there is an export."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def train_config(self) -> TrainConfig:
        return TrainConfig(**{name: _as_tuple(value) for name, value in self.config.items()})


TRAIN_FILE = RecordFile("train.json", TrainRecord)


def new_record(config: TrainConfig, base_digest: str, counts: ExampleCounts) -> TrainRecord:
    return TrainRecord(
        status="unfinished",
        config=asdict(config),
        base_digest=base_digest,
        **asdict(counts),
        versions={
            "artimuse": artimuse.__version__,
            "python": platform.python_version(),
            **package_versions(_VERSIONS_OF),
            **({"commit": commit} if (commit := _commit()) else {}),
        },
    )


def read_record(output: Folder) -> TrainRecord | None:
    """None in a new OUTPUT. Raises BadOutput if it is no JSON of ours, or if OUTPUT holds something else."""
    record = TRAIN_FILE.read(output)
    if record is None:
        found = [name for name in output.names() if not name.startswith(".")]
        # Of a run whose record was removed: it would be gone on with unseen.
        found += [f"{folder}/{name}" for folder in ("checkpoints", "model") for name in output.names(folder)]
        if found:
            raise BadOutput(
                f"{output.url()} holds files but no {TRAIN_FILE.name} ({', '.join(found[:3])});"
                " choose a new or empty directory"
            )
    return record


def refuse_other_settings(output: Folder, saved: TrainRecord, config: TrainConfig, base_digest: str) -> None:
    """Raises RunMismatch naming every setting in which what is asked differs from what OUTPUT was begun with."""
    # Through JSON, as the saved ones went: tuples are lists there.
    asked = json.loads(json.dumps(asdict(config)))
    # A run that was begun before there was such an option has what is now the default.
    defaults = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    had = {**json.loads(json.dumps(defaults)), **saved.config}
    differing = differences(had, {name: asked[name] for name in asked if name not in MAY_CHANGE})
    if not differing and saved.base_digest != base_digest:
        differing = ["the weights of --base have changed"]
    TRAIN_FILE.refuse_mismatch(output, differing)


def _commit() -> str | None:
    """The commit of this code, if it runs in a clone."""
    command = ["git", "-C", str(Path(artimuse.__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _as_tuple(value: Any) -> Any:
    """What JSON made a list of."""
    return tuple(value) if isinstance(value, list) else value
