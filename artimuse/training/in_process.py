"""Training in this process, by one worker and without Ray: for small runs, notebooks and tests (`--workers 0`)."""

import atexit
import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import distributed

from artimuse.configs.engine import Device
from artimuse.configs.train import TrainConfig
from artimuse.errors import ClusterProblem
from artimuse.io.folder import Folder
from artimuse.training.backend import EXPORT_FOLDER, Control
from artimuse.training.export.export import export
from artimuse.training.job import TrainJob
from artimuse.training.progress import TrainProgress
from artimuse.training.status import Status
from artimuse.training.worker import Worker


class InProcess:
    """Implements `backend.TrainBackend`."""

    def open(self, config: TrainConfig) -> TrainConfig:
        has_cuda = torch.cuda.is_available()
        if config.device == "cuda" and not has_cuda:
            raise ClusterProblem("--workers 0 works in this process, and torch finds no CUDA device here")
        device: Device = "cuda" if has_cuda and config.device != "cpu" else "cpu"
        dtype = config.dtype
        if dtype == "auto":
            dtype = "bfloat16" if device == "cuda" else "float32"
        return replace(config, device=device, dtype=dtype)

    def fit(self, config: TrainConfig, output: Folder, *, has_validation: bool, control: Control) -> Status:
        _join_group_of_one(config.device)
        with TrainProgress(control.console) as progress, control.stop.draining(), ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng())
            # What DeepSpeed and peft use of torch and transformers is deprecated; on Ray nobody sees that either.
            stack.enter_context(warnings.catch_warnings(action="ignore", category=FutureWarning))
            stack.enter_context(warnings.catch_warnings(action="ignore", category=DeprecationWarning))
            reporter = _Reporter(progress, control)
            job = TrainJob(config=config, output=output, has_validation=has_validation, reporter=reporter)
            Worker(job, stack).run()
        return reporter.status

    def export(self, output: Folder, device: Device) -> int:
        return export(output, output / EXPORT_FOLDER, layout="native", step=None, device=device).step


class _Reporter:
    """Implements `status.Reporter` where driver and worker are one."""

    def __init__(self, progress: TrainProgress, control: Control) -> None:
        self.progress = progress
        self.control = control
        self.status = Status()

    def update(self, **changes: Any) -> bool:
        self.control.lock.check()
        self.status.change(**changes)
        self.progress.show(self.status)
        return self.control.stop.is_set


def _join_group_of_one(device: Device) -> None:
    """A torch.distributed group with this process alone, for as long as it lives: DeepSpeed keeps hold of the first."""
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed asks for what its launcher would set
    if not distributed.is_initialized():
        backend = "nccl" if device == "cuda" else "gloo"
        store = distributed.HashStore()  # type: ignore[attr-defined]  # torch's types leave it out
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        atexit.register(distributed.destroy_process_group)
