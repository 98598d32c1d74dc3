"""Where a training run is done: on a Ray cluster (`on_ray.py`), or in this process (`in_process.py`)."""

from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from artimuse.configs.engine import Device
from artimuse.configs.train import TrainConfig
from artimuse.errors import Interrupted
from artimuse.io.folder import Folder
from artimuse.runs.lock import Lock
from artimuse.runs.signals import StopRequest
from artimuse.training.status import Status

EXPORT_FOLDER = "model"
"""Where the exported model is, in OUTPUT."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What the driver holds while the workers are at work."""

    stop: StopRequest
    lock: Lock
    console: Console

    def check(self) -> None:
        """Raises OutputLocked if another run has taken OUTPUT, Interrupted if the grace after a stop is over."""
        self.lock.check()
        if self.stop.left_s <= 0:
            raise Interrupted("the last checkpoint is on disk; the same command goes on from it")


class TrainBackend(Protocol):
    """Made by a run, which calls `open` first."""

    def open(self, config: TrainConfig) -> TrainConfig:
        """The configuration with device and precision chosen. Raises ClusterProblem."""
        ...

    def fit(self, config: TrainConfig, output: Folder, *, has_validation: bool, control: Control) -> Status:
        """Trains until all steps are done, or a stop request has been answered with a checkpoint.

        Raises BadInput, BadCheckpoint, TrainingDiverged and TrainingFailed, and what `Control.check` raises.
        """
        ...

    def export(self, output: Folder, device: Device) -> int:
        """Writes OUTPUT/model of the best checkpoint; returns its step."""
        ...
