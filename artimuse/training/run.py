"""`artimuse train`: from an annotation table to an exported model, as a run that can be killed and started again."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from artimuse.configs.engine import Device
from artimuse.configs.train import TrainConfig
from artimuse.errors import (
    ArtiMuseError,
    Interrupted,
    TrainingFailed,
)
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.runs import cluster
from artimuse.runs.lock import Lock, hold_lock
from artimuse.runs.signals import StopRequest
from artimuse.training.base import open_base
from artimuse.training.board import Board, Status
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.export import EXPORT_FOLDER, export
from artimuse.training.job import FINAL, TrainJob, work
from artimuse.training.record import new_record, read_record, refuse_mismatch, write_record
from artimuse.training.report import TrainReport
from artimuse.training.resources import Resources, plan_resources
from artimuse.training.selection import write_plan
from artimuse.training.watch import TrainProgress
from artimuse.training.worker import TRAIN_FILE, VALIDATION_FILE

logger = logging.getLogger(__name__)

GRACE_S = 600.0
"""After SIGTERM or Ctrl-C, seconds for the step in flight and its checkpoint."""
POLL_S = 0.25


def run(config: TrainConfig, console: Console) -> TrainReport:
    """Trains what OUTPUT does not have yet, and exports it.

    Raises BadInput, BadCheckpoint, BadOutput, OutputLocked, RunMismatch, ClusterProblem, TrainingDiverged and
    TrainingFailed; Interrupted when stopped, with a checkpoint of the last step on disk.
    """
    if cluster.is_submitted_job():
        cluster.refuse_relative_paths(
            {"ANNOTATIONS": config.annotations, "OUTPUT": config.output}, models={"--base": config.base}
        )
    output = Folder.at(config.output)
    stop = StopRequest(GRACE_S, doing="finishing the step and saving a checkpoint")
    with stop.heeded(), hold_lock(output) as lock:
        saved = read_record(output)
        cluster.connect(debug=config.debug)
        stop.heed()
        config, resources = _resolved(config)
        record = _opened(config, output, saved)
        return _run(config, resources, output, record, stop, lock, console)


def _run(
    config: TrainConfig,
    resources: Resources,
    output: Folder,
    record: dict[str, Any],
    stop: StopRequest,
    lock: Lock,
    console: Console,
) -> TrainReport:
    checkpoints = Checkpoints(output)
    num_before = (checkpoints.steps() or [0])[-1]
    status = Status()
    if record["status"] != "finished":
        if num_before:
            logger.info("going on from the checkpoint of step %d", num_before)
        status = _train(config, resources, output, record, stop, lock, console)
        lock.check()
        logger.info("exporting to %s", output.url(EXPORT_FOLDER))
        step = _exported(config, resources, output)
        record = {**record, "status": "finished", "exported_step": step}
        write_record(output, record)
    else:
        logger.info("%s is finished: nothing is left to train", output.url())
    return _report(config, output, record, status, num_before)


def _exported(config: TrainConfig, resources: Resources, output: Folder) -> int:
    """Writes OUTPUT/model; returns the step that it is of."""
    model = output / EXPORT_FOLDER
    for name in model.names():
        model.remove(name)  # of an export that was cut short: the run is not finished
    exporting = _export.options(num_cpus=resources.num_cpus, num_gpus=resources.num_gpus)
    try:
        return int(ray.get(exporting.remote(output, config.device)))
    except RayTaskError as error:
        if isinstance(error.cause, ArtiMuseError):
            raise error.cause from None
        raise


@ray.remote
def _export(output: Folder, device: Device) -> int:
    """On a node that has what the network needs; returns the step."""
    return export(output, output / EXPORT_FOLDER, layout="native", step=None, device=device).step


@contextmanager
def _scratch() -> Iterator[str]:
    """Where Ray Train keeps its own notes, which nobody needs afterwards."""
    place = tempfile.mkdtemp(prefix="artimuse-ray-train-")
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _train(
    config: TrainConfig,
    resources: Resources,
    output: Folder,
    record: dict[str, Any],
    stop: StopRequest,
    lock: Lock,
    console: Console,
) -> Status:
    """Until all steps are done."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    # On the driver's own node: any other may be taken away.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    make_board: Any = ray.remote(num_cpus=0)(Board)
    board: Any = make_board.options(scheduling_strategy=here).remote()
    job = TrainJob(config=config, output=output, has_validation=record["num_validation_examples"] > 0, board=board)
    num_workers: Any = resources.num_workers  # Ray's own annotation lacks the pair
    with _scratch() as scratch:
        trainer = TorchTrainer(
            work,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(
                num_workers=num_workers,
                use_gpu=resources.num_gpus > 0,
                resources_per_worker={"CPU": resources.num_cpus, "GPU": resources.num_gpus},
            ),
            run_config=RunConfig(storage_path=scratch, failure_config=FailureConfig(max_failures=config.max_failures)),
        )
        fitting = _Fitting(trainer)
        fitting.start()
        with TrainProgress(console) as progress, stop.draining():
            asked = False
            while fitting.is_alive():
                lock.check()
                progress.show(ray.get(board.read.remote()))
                if stop.is_set and not asked:
                    asked = True
                    board.stop.remote()
                if stop.left_s <= 0:
                    raise Interrupted("the last checkpoint is on disk; the same command goes on from it")
                fitting.join(POLL_S)
        status: Status = ray.get(board.read.remote())
    if status.problem:
        name, message = status.problem
        raise {error.__name__: error for error in FINAL}[name](message)
    if fitting.error:
        raise TrainingFailed(f"{_gist(fitting.error)}; the same command goes on from the last checkpoint")
    if status.is_stopped:
        raise Interrupted(f"{status.step} of {status.num_steps} steps are done; the same command goes on from there")
    return status


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


def _resolved(config: TrainConfig) -> tuple[TrainConfig, Resources]:
    """Nothing left to the machine that it runs on."""
    resources = plan_resources(config)
    device: Device = "cuda" if resources.num_gpus else "cpu"
    dtype = config.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    return replace(config, device=device, dtype=dtype, base=find_checkpoint(config.base).name), resources


def _opened(config: TrainConfig, output: Folder, saved: dict[str, Any] | None) -> dict[str, Any]:
    """The record of OUTPUT; of a new one, the plan is written first."""
    checkpoint = find_checkpoint(config.base)
    digest = weights_digest(checkpoint.directory)
    if saved:
        refuse_mismatch(output, saved, config, digest)
        return saved
    logger.info("planning")
    blueprint = open_base(config, checkpoint)
    facts = write_plan(config, blueprint, output, train=TRAIN_FILE, validation=VALIDATION_FILE)
    record = new_record(config, {"base_digest": digest, **facts})
    write_record(output, record)
    return record


def _report(
    config: TrainConfig, output: Folder, record: dict[str, Any], status: Status, num_before: int
) -> TrainReport:
    checkpoints = Checkpoints(output)
    state = checkpoints.read(checkpoints.steps()[-1]).state
    new = [entry for entry in state.history if entry["step"] > num_before]
    seconds = sum(entry["seconds"] for entry in new)
    last = state.history[-max(1, len(state.history) // 10) :]
    validations = {entry["step"]: entry for entry in state.validations}
    return TrainReport(
        output=output.url(),
        preset=config.preset,
        base=config.base,
        num_examples=record["num_examples"],
        num_images=record["num_images"],
        num_steps=state.step,
        num_new_steps=len(new),
        num_workers=status.world_size,
        loss=float(np.mean([entry["loss"] for entry in last])),
        validation=validations.get(record["exported_step"]),
        samples_per_s=sum(entry["num_samples"] for entry in new) / seconds if seconds else 0.0,
        waiting_share=sum(entry["waiting_share"] * entry["seconds"] for entry in new) / seconds if seconds else 0.0,
        bad_images=state.bad_images,
        checkpoint=record["exported_step"],
        model=output.url(EXPORT_FOLDER),
    )


def _gist(error: Exception) -> str:
    """The last line of a worker's traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
