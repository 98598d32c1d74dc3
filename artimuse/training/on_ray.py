"""Training on a Ray cluster: Ray Train holds the workers, and starts others in place of those that are lost."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayTaskError

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.train import TrainConfig
from artimuse.errors import ArtiMuseError, TrainingFailed
from artimuse.io.folder import Folder
from artimuse.runs.cluster import connect, on_this_node
from artimuse.runs.preconditions import refuse_missing
from artimuse.training.backend import EXPORT_FOLDER, Control
from artimuse.training.export.export import export
from artimuse.training.job import FINAL_ERRORS, TrainJob
from artimuse.training.loop import train_loop
from artimuse.training.progress import TrainProgress
from artimuse.training.resources import Resources, plan_resources
from artimuse.training.status import Status
from artimuse.training.status_actor import RemoteReporter, StatusActor

POLL_S = 0.25


class OnRay:
    """Implements `backend.TrainBackend`."""

    resources: Resources

    def open(self, config: TrainConfig) -> TrainConfig:
        refuse_missing(
            packages={"wandb": "--tracker wandb needs pip install wandb"} if config.tracker == "wandb" else {},
            needs_gpu=config.device == "cuda",
            gpu_option="--device cuda",
        )
        connect(debug=config.debug)
        self.resources = plan_resources(config)
        device: Device = "cuda" if self.resources.num_gpus else "cpu"
        return replace(config, device=device, dtype=chosen_dtype(config.dtype, device))

    def fit(self, config: TrainConfig, output: Folder, *, has_validation: bool, control: Control) -> Status:
        make_actor: Any = ray.remote(num_cpus=0)(StatusActor)
        reporter = RemoteReporter(make_actor.options(scheduling_strategy=on_this_node()).remote())
        job = TrainJob(config=config, output=output, has_validation=has_validation, reporter=reporter)
        with _scratch() as scratch:
            fitting = _Fitting(self._trainer(job, scratch))
            fitting.start()
            _watch(fitting, reporter, control)
            status = reporter.read()
        raise_problem(status, fitting.error)
        return status

    def export(self, output: Folder, device: Device) -> int:
        task = _export.options(num_cpus=self.resources.num_cpus, num_gpus=self.resources.num_gpus)
        try:
            return int(ray.get(task.remote(output, device)))
        except RayTaskError as error:
            if isinstance(error.cause, ArtiMuseError):
                raise error.cause from None
            raise

    def _trainer(self, job: TrainJob, scratch: str) -> Any:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        num_workers: Any = self.resources.num_workers  # Ray's own annotation lacks the pair
        return TorchTrainer(
            train_loop,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(
                num_workers=num_workers,
                use_gpu=self.resources.num_gpus > 0,
                resources_per_worker={"CPU": self.resources.num_cpus, "GPU": self.resources.num_gpus},
            ),
            run_config=RunConfig(
                storage_path=scratch, failure_config=FailureConfig(max_failures=job.config.max_failures)
            ),
        )


class _Fitting(threading.Thread):
    """Ray Train, which blocks, beside the driver, which listens to signals and shows what happens."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(name="ray-train", daemon=True)
        self.trainer = trainer
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.trainer.fit()
        except Exception as error:  # noqa: BLE001 - it is raised in the main thread
            self.error = error


def _watch(fitting: _Fitting, reporter: RemoteReporter, control: Control) -> None:
    """Until the workers have ended. Raises what `Control.check` raises."""
    stop, has_asked = control.stop, False
    with TrainProgress(control.console) as progress, stop.draining():
        while fitting.is_alive():
            control.check()
            progress.show(reporter.read())
            if stop.is_set and not has_asked:
                has_asked = True
                reporter.actor.stop.remote()
            fitting.join(POLL_S)


def raise_problem(status: Status, error: Exception | None) -> None:
    """What the workers said was wrong comes before the error that Ray Train made of it."""
    if status.problem:
        name, message = status.problem
        raise {final.__name__: final for final in FINAL_ERRORS}[name](message)
    if error:
        raise TrainingFailed(f"{_gist(error)}; the same command goes on from the last checkpoint")


@ray.remote
def _export(output: Folder, device: Device) -> int:
    """On a node that has what the network needs; returns the step."""
    return export(output, output / EXPORT_FOLDER, layout="native", step=None, device=device).step


@contextmanager
def _scratch() -> Iterator[str]:
    """Where Ray Train keeps its own notes, which nobody needs afterwards."""
    directory = tempfile.mkdtemp(prefix="artimuse-ray-train-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _gist(error: Exception) -> str:
    """The last line of a worker's traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
