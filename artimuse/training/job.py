"""What the driver tells the workers. Nothing here imports the network: Ray Train's controller reads this too."""

from dataclasses import dataclass

from artimuse.configs.train import TrainConfig
from artimuse.errors import BadCheckpoint, BadInput, TrainingDiverged
from artimuse.io.folder import Folder
from artimuse.training.status import Reporter

FINAL_ERRORS = (BadInput, BadCheckpoint, TrainingDiverged)
"""They would come again: no restart would help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """One run, as its workers know it."""

    config: TrainConfig
    """Resolved: nothing in it depends on the machine that reads it."""
    output: Folder
    has_validation: bool
    reporter: Reporter
