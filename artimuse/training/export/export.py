"""`artimuse export`: a checkpoint of a training run as a model of its own, which is proven before it counts."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import torch
from rich.console import Console

from artimuse.configs.engine import Device, TrainingDType
from artimuse.configs.export import ExportConfig, ExportForm
from artimuse.configs.train import TrainConfig
from artimuse.engines.network import resolve_device
from artimuse.errors import BadCheckpoint, BadOutput
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.model.load import CheckpointSpec, load_network
from artimuse.model.save import save_checkpoint
from artimuse.training.checkpoint import Checkpoints, Saved, Tensors, load_weights
from artimuse.training.export.adapters import load_adapted, write_adapters
from artimuse.training.export.card import write_card
from artimuse.training.export.comparison import ExportComparison, compare
from artimuse.training.export.merge import Merger
from artimuse.training.network import TrainedNetwork, read_base
from artimuse.training.record import TrainRecord, read_record

logger = logging.getLogger(__name__)

CONFIG_FILES = ("config.json", "adapter_config.json")
"""Of a model, and of adapters: one of them is in an export."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """The outcome of `artimuse export`."""

    model: str
    layout: ExportForm
    step: int
    dtype: TrainingDType
    num_trained: int
    """The number of tensors that were trained."""
    num_adapters: int
    comparison: ExportComparison
    """The exported model, read again, beside the trained one with its adapters."""

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        if self.layout == "adapters":
            what = f"for peft, {self.dtype}; {self.num_adapters} adapters, not merged"
        else:
            what = f"{self.layout} layout, {self.dtype}; {self.num_adapters} adapters merged"
        console.print(
            f"{self.model}: step {self.step}, {what}, {self.num_trained} trained tensors moved;"
            f" read again it answers as before: {self.comparison}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def run(config: ExportConfig, console: Console) -> ExportReport:
    """Raises BadInput, BadOutput, BadCheckpoint and ExportFailed."""
    logger.info("exporting")
    return export(
        Folder.at(config.run),
        Folder.at(config.destination),
        layout=config.form,
        dtype=config.dtype,
        step=config.step,
        device=config.device,
    )


def export(
    output: Folder,
    destination: Folder,
    *,
    layout: ExportForm,
    step: int | None,
    device: Device,
    dtype: Literal["float32", "bfloat16"] | None = None,
) -> ExportReport:
    """Merges, writes, reads again, compares; only then the destination appears. `step` None is the best one.

    `dtype` is that of the merged weights; None is the training's.

    Raises BadInput for adapters that there are not, or that peft cannot express; BadOutput for a run or checkpoint that
    is not there and for a destination that is not empty; BadCheckpoint if the base has changed; ExportFailed if the
    model did not learn, or does not answer as the trained one.
    """
    if destination.names():
        raise BadOutput(f"{destination.url()} is not empty: choose a new directory")
    record = read_record(output)
    if record is None:
        raise BadOutput(f"{output.url()}: no training run here")
    checkpoints = Checkpoints(output)
    saved = _saved(checkpoints, output, step)
    config = record.train_config
    spec = _base(config, record, output)
    merged = replace(config, dtype=dtype or config.dtype)
    with _assembled(destination) as unfinished, checkpoints.tensors(saved) as tensors:
        merger = Merger(spec, tensors, _torch_dtype(config))
        if layout == "adapters":
            merger.refuse_unmoved()
            write_adapters(unfinished, config, spec, tensors)
        else:
            save_checkpoint(unfinished, spec, merger.weights(), layout=layout, dtype=_torch_dtype(merged))
        comparison = _compared(unfinished, merged, spec, tensors, resolve_device(device))
        (unfinished / "train_config.json").write_text(json.dumps(record.as_dict(), indent=2, ensure_ascii=False) + "\n")
        write_card(unfinished, config, record, saved.state, comparison, has_adapters=layout == "adapters")
    return ExportReport(
        model=destination.url(),
        layout=layout,
        step=saved.state.step,
        dtype="float32" if layout == "adapters" else merged.dtype,
        num_trained=len(merger.trained),
        num_adapters=merger.num_adapters,
        comparison=comparison,
    )


def _torch_dtype(config: TrainConfig) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, config.dtype)
    return dtype


def _compared(
    directory: Path, config: TrainConfig, spec: CheckpointSpec, tensors: Tensors, device: torch.device
) -> ExportComparison:
    """The trained network beside what was written, read again."""
    dtype = _torch_dtype(config)
    trained = TrainedNetwork(spec, config, dtype=dtype, device=device)
    load_weights(trained, tensors)
    if (directory / CONFIG_FILES[1]).exists():
        return compare(trained, load_adapted(directory, spec, dtype=dtype, device=device), config)
    return compare(trained, load_network(find_checkpoint(str(directory)), dtype=dtype, device=device), config)


def _saved(checkpoints: Checkpoints, output: Folder, step: int | None) -> Saved:
    steps = checkpoints.steps()
    if step is not None and step not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise BadOutput(f"{output.url()}: no checkpoint of step {step}; there are {there}")
    return checkpoints.read(checkpoints.best() if step is None else step)


def _base(config: TrainConfig, record: TrainRecord, output: Folder) -> CheckpointSpec:
    base = find_checkpoint(config.base)
    if weights_digest(base.directory) != record.base_digest:
        raise BadCheckpoint(f"{config.base}: not the weights that {output.url()} was trained from")
    return read_base(config, base)


@contextmanager
def _assembled(destination: Folder) -> Iterator[Path]:
    """A directory that does not exist yet, for files that become the destination on leaving, all at once.

    On an object store the configuration comes last: without it there is no model.
    """
    if destination.is_local:
        final = Path(destination.url())
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = final.with_name(f".{final.name}.{uuid4().hex[:12]}.unfinished")
        try:
            yield unfinished
            unfinished.rename(final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="artimuse-") as parent:
        unfinished = Path(parent) / "model"
        yield unfinished
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name in CONFIG_FILES):
            with destination.writing(path.name) as copy:
                shutil.copyfile(path, copy)
