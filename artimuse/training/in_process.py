"""Training in this process, by one worker and without Ray: for small runs, notebooks and tests (`--workers 0`)."""

import atexit
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import distributed

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.train import TrainConfig
from artimuse.errors import ArtiMuseError, ClusterProblem, TrainingFailed
from artimuse.images.decode import own_pixel_limit
from artimuse.io.folder import Folder
from artimuse.io.retries import describe
from artimuse.runs.own_device import free_device_memory, own_device
from artimuse.training.backend import EXPORT_FOLDER, Control
from artimuse.training.export.export import export
from artimuse.training.job import TrainJob
from artimuse.training.progress import TrainProgress
from artimuse.training.status import Status
from artimuse.training.worker import Worker


class InProcess:
    """Implements `backend.TrainBackend`."""

    def open(self, config: TrainConfig) -> TrainConfig:
        device = own_device(config.device)
        _refuse_another_group(device)
        return replace(config, device=device, dtype=chosen_dtype(config.dtype, device))

    def fit(self, config: TrainConfig, output: Folder, *, has_validation: bool, control: Control) -> Status:
        with TrainProgress(control.console) as progress, control.stop.draining(), _as_the_only_worker(config.device):
            reporter = _Reporter(progress, control)
            job = TrainJob(config=config, output=output, has_validation=has_validation, reporter=reporter)
            try:
                with ExitStack() as stack:
                    Worker(job, stack).run()
            except ArtiMuseError:
                raise
            except Exception as error:  # whatever torch, DeepSpeed and the device raise: the checkpoint is there
                raise TrainingFailed(f"{describe(error)}; the same command goes on from the last checkpoint") from error
        return reporter.status

    def export(self, output: Folder, device: Device) -> int:
        free_device_memory()  # of the worker, whose network and optimizer refer to each other
        return export(output, output / EXPORT_FOLDER, layout="native", step=None, device=device).step


class _Reporter:
    """Implements `status.Reporter` where driver and worker are one."""

    def __init__(self, progress: TrainProgress, control: Control) -> None:
        self.progress = progress
        self.control = control
        self.status = Status()

    def update(self, **changes: Any) -> bool:
        self.control.check()
        self.status.change(**changes)
        self.progress.show(self.status)
        return self.control.stop.is_set

    def read(self) -> Status:
        return self.status


@contextmanager
def _as_the_only_worker(device: Device) -> Iterator[None]:
    """What a process of Ray Train has to itself is put back afterwards, as far as this process had another."""
    _join_group_of_one(device)
    rank_before = os.environ.get("LOCAL_RANK")
    os.environ["LOCAL_RANK"] = "0"  # DeepSpeed asks for what its launcher would set
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    try:
        with torch.random.fork_rng(devices), own_pixel_limit():
            # What DeepSpeed and peft use of torch and transformers is deprecated; on Ray nobody sees that either.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if rank_before is None:
            del os.environ["LOCAL_RANK"]
        else:
            os.environ["LOCAL_RANK"] = rank_before


def _refuse_another_group(device: Device) -> None:
    """Raises ClusterProblem if this process is in a torch.distributed group that training cannot use."""
    if not distributed.is_initialized():
        return
    backend, size = distributed.get_backend(), distributed.get_world_size()
    if (backend, size) != (_group_backend(device), 1):
        raise ClusterProblem(
            f"--workers 0 on {device}: this process is already in a torch.distributed group ({backend}, of {size});"
            " start the training in a new process"
        )


def _join_group_of_one(device: Device) -> None:
    """A torch.distributed group with this process alone, for as long as it lives: DeepSpeed keeps hold of the first."""
    if not distributed.is_initialized():
        store = distributed.HashStore()  # type: ignore[attr-defined]  # torch's types leave it out
        distributed.init_process_group(_group_backend(device), store=store, rank=0, world_size=1)
        atexit.register(distributed.destroy_process_group)


def _group_backend(device: Device) -> str:
    return "nccl" if device == "cuda" else "gloo"
