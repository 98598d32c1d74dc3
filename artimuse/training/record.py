"""train.json: what a training run is made of, and how far it got. Its examples exist if and only if it does."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import artimuse
from artimuse.configs.train import TrainConfig
from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder

TRAIN_RECORD = "train.json"
MAY_CHANGE = frozenset(
    {
        "output",
        "workers",
        "cpus_per_worker",
        "zero",
        "gradient_checkpointing",
        "max_failures",
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


def new_record(config: TrainConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` are of the base model and the examples."""
    return {
        "status": "unfinished",
        "config": asdict(config),
        **facts,
        "versions": {
            "artimuse": artimuse.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _VERSIONS_OF},
            **({"commit": commit} if (commit := _commit()) else {}),
        },
    }


def _commit() -> str | None:
    """Of this code, if it runs in a clone."""
    command = ["git", "-C", str(Path(artimuse.__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def read_record(output: Folder) -> dict[str, Any] | None:
    """None in a new OUTPUT. Raises BadOutput if it is no JSON of ours, or if OUTPUT holds something else."""
    if not output.exists(TRAIN_RECORD):
        found = [name for name in output.names() if not name.startswith(".")]
        # Of a run whose record was removed: it would be gone on with unseen.
        found += [f"{folder}/{name}" for folder in ("checkpoints", "model") for name in output.names(folder)]
        if found:
            raise BadOutput(
                f"{output.url()} holds files but no {TRAIN_RECORD} ({', '.join(found[:3])});"
                " choose a new or empty directory"
            )
        return None
    try:
        record: dict[str, Any] = json.loads(output.read(TRAIN_RECORD))
    except ValueError as error:
        raise BadOutput(f"{output.url(TRAIN_RECORD)} is not valid JSON: {error}") from None
    if not isinstance(record, dict) or "config" not in record:
        raise BadOutput(f"{output.url(TRAIN_RECORD)} was not written by artimuse")
    return record


def write_record(output: Folder, record: Mapping[str, Any]) -> None:
    output.write(TRAIN_RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def refuse_mismatch(output: Folder, saved: Mapping[str, Any], config: TrainConfig, base_digest: str) -> None:
    """Raises RunMismatch naming every setting in which what is asked differs from what OUTPUT was begun with."""
    # Through JSON, as the saved ones went: tuples are lists there.
    asked = json.loads(json.dumps(asdict(config)))
    differing = [
        f"{name}: OUTPUT has {saved['config'].get(name)!r}, this run has {value!r}"
        for name, value in asked.items()
        if name not in MAY_CHANGE and saved["config"].get(name) != value
    ]
    if not differing and saved["base_digest"] != base_digest:
        differing = ["the weights of --base have changed"]
    if differing:
        raise RunMismatch(
            f"{output.url()} was made by another run ({'; '.join(differing)});"
            f" choose a new OUTPUT, or run with the settings in its {TRAIN_RECORD}"
        )
