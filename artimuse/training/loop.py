"""What Ray Train calls on each worker. Its controller imports this, so the network is imported inside."""

from contextlib import ExitStack
from typing import Any

from artimuse.images.decode import leave_limits_to_decode
from artimuse.training.job import FINAL_ERRORS, TrainJob
from artimuse.training.status import Reporter


def train_loop(loop_config: dict[str, Any]) -> None:
    """Called again on new workers after some were lost."""
    from artimuse.training.worker import Worker, limit_threads

    job: TrainJob = loop_config["job"]
    if job.reporter.read().problem:
        return
    limit_threads(job.config)
    leave_limits_to_decode()
    with ExitStack() as stack:
        try:
            worker = Worker(job, stack)
        except FINAL_ERRORS as error:
            _tell(job.reporter, error)
            # Other workers may be waiting for this one: Ray ends them only if it fails.
            raise
        try:
            worker.run()
        except FINAL_ERRORS as error:
            # All workers have it and return: Ray would start others in place of those that fail.
            _tell(job.reporter, error)


def _tell(reporter: Reporter, error: Exception) -> None:
    """The driver raises it; workers that Ray starts after it find it and return."""
    reporter.update(problem=(type(error).__name__, str(error)))
