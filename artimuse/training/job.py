"""What Ray Train is given. Its controller reads this too, so nothing here imports the network."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import ray

from artimuse.configs.train import TrainConfig
from artimuse.errors import BadCheckpoint, BadInput, TrainingDiverged
from artimuse.io.folder import Folder

FINAL = (BadInput, BadCheckpoint, TrainingDiverged)
"""Errors that would come again: no restart would help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """What the driver tells the workers."""

    config: TrainConfig
    """Resolved: nothing in it depends on the machine that reads it."""
    output: Folder
    has_validation: bool
    board: Any
    """The actor of `board.py`."""


def work(loop_config: dict[str, Any]) -> None:
    """Ray Train calls it on each worker, and again on new ones after some were lost."""
    from artimuse.training.worker import Worker

    job: TrainJob = loop_config["job"]
    if ray.get(job.board.read.remote()).problem:
        return
    with ExitStack() as stack:
        try:
            worker = Worker(job, stack)
        except FINAL as error:
            _tell(job, error)
            # Other workers may be waiting for this one: Ray ends them only if it fails.
            raise
        try:
            worker.run()
        except FINAL as error:
            # All workers have it and return: Ray would start others in place of those that fail.
            _tell(job, error)


def _tell(job: TrainJob, error: Exception) -> None:
    """The driver raises it; workers that Ray starts after it find it and return."""
    ray.get(job.board.update.remote(problem=(type(error).__name__, str(error))))
