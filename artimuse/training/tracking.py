"""Curves for people: TensorBoard files in OUTPUT, or Weights & Biases. What counts is in the checkpoints' history."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from artimuse.configs.train import TrainConfig
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder

TENSORBOARD = "tensorboard"
STEP_CURVES = ("loss", "learning_rate", "grad_norm", "num_answer_tokens", "seconds", "waiting_share")
VALIDATION_CURVES = ("loss", "srcc", "plcc")


class Tracker(Protocol):
    """Takes the records of `worker.py`."""

    def step(self, record: Mapping[str, Any]) -> None: ...

    def validation(self, record: Mapping[str, Any]) -> None: ...


class NoTracker:
    """Implements `Tracker`; also for all workers but the first."""

    def step(self, record: Mapping[str, Any]) -> None:
        """Does nothing."""

    def validation(self, record: Mapping[str, Any]) -> None:
        """Does nothing."""


class TensorBoardTracker:
    """Implements `Tracker`. Files appear in OUTPUT/tensorboard; on an object store at every validation."""

    def __init__(self, output: Folder, directory: Path, first_step: int) -> None:
        from tensorboardX import SummaryWriter

        self._folder = output / TENSORBOARD
        self._directory = Path(self._folder.url()) if output.is_local else directory
        # Steps after the checkpoint that is gone on from will come again. Names of files have seconds only.
        self._writer = SummaryWriter(
            str(self._directory), purge_step=first_step + 1, filename_suffix=f".{first_step}.{uuid4().hex[:8]}"
        )

    def step(self, record: Mapping[str, Any]) -> None:
        for name in STEP_CURVES:
            self._writer.add_scalar(f"train/{name}", record[name], record["step"])

    def validation(self, record: Mapping[str, Any]) -> None:
        for name in VALIDATION_CURVES:
            if record[name] is not None:
                self._writer.add_scalar(f"validation/{name}", record[name], record["step"])
        self._writer.flush()
        self._upload()

    def close(self) -> None:
        self._writer.close()
        self._upload()

    def _upload(self) -> None:
        if not self._folder.is_local:
            for path in self._directory.iterdir():
                self._folder.write(path.name, path.read_bytes())


class WandbTracker:
    """Implements `Tracker`. The variables of wandb apply, such as WANDB_PROJECT and WANDB_MODE=offline."""

    def __init__(self, config: TrainConfig, output: Folder, directory: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise BadOutput("--tracker wandb needs the package wandb on every node: pip install wandb") from error
        self._folder = output
        self._directory = Path(output.url()) if output.is_local else directory
        # The run's id is its OUTPUT, so that what goes on is drawn as one curve.
        name = output.url().rstrip("/").rpartition("/")[2]
        self._run = wandb.init(
            dir=self._directory,
            id=sha256(output.url().encode()).hexdigest()[:16],
            name=name,
            config=asdict(config),
            resume="allow",
        )
        self._run.define_metric("*", step_metric="step")

    def step(self, record: Mapping[str, Any]) -> None:
        self._run.log({f"train/{name}": record[name] for name in STEP_CURVES} | {"step": record["step"]})

    def validation(self, record: Mapping[str, Any]) -> None:
        found = {f"validation/{name}": record[name] for name in VALIDATION_CURVES if record[name] is not None}
        self._run.log(found | {"step": record["step"]})

    def close(self) -> None:
        self._run.finish()
        if not self._folder.is_local:
            for path in sorted(self._directory.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    self._folder.write(path.relative_to(self._directory).as_posix(), path.read_bytes())


def open_tracker(
    config: TrainConfig, output: Folder, *, first_step: int, is_active: bool
) -> AbstractContextManager[Tracker]:
    """The tracker of the configuration, for the one worker that is active."""
    return _opened(config, output, first_step) if is_active and config.tracker != "none" else _nothing()


@contextmanager
def _nothing() -> Iterator[Tracker]:
    yield NoTracker()


@contextmanager
def _opened(config: TrainConfig, output: Folder, first_step: int) -> Iterator[Tracker]:
    with tempfile.TemporaryDirectory(prefix="artimuse-") as directory:
        tracker: TensorBoardTracker | WandbTracker
        if config.tracker == "wandb":
            tracker = WandbTracker(config, output, Path(directory))
        else:
            tracker = TensorBoardTracker(output, Path(directory), first_step)
        try:
            yield tracker
        finally:
            tracker.close()
