"""What survives a kill: weights and optimizer by the names of the weights, in float32, whoever held which shard.

DeepSpeed's own checkpoints belong to a number of workers and a ZeRO stage; these can be gone on from with any. There is
no random state in them, and no position but the step, from which order and dropout follow (`data/sampler.py`,
`worker.py`).

A checkpoint is there if and only if its JSON file is, which is written last.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import distributed

from artimuse.errors import BadOutput, TrainingDiverged
from artimuse.io.folder import Folder
from artimuse.training.data.collate import Batch
from artimuse.training.network import TrainedNetwork
from artimuse.training.worker_group import WorkerGroup

FOLDER = "checkpoints"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's, as torch calls them."""
_NAME = re.compile(r"step-(\d{8})\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainState:
    """All of a run that is not a tensor."""

    step: int
    """Steps that are done."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One record per step."""
    validations: list[dict[str, Any]] = field(default_factory=list)
    """One record per validation; the last one is of this state's own weights."""
    bad_images: dict[str, str] = field(default_factory=dict)
    """Image id -> why it was left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A whole checkpoint."""

    state: TrainState
    files: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one OUTPUT."""

    def __init__(self, output: Folder) -> None:
        self.folder = output / FOLDER

    def steps(self) -> list[int]:
        """The steps of the whole checkpoints, ascending."""
        matches = (_NAME.fullmatch(name) for name in self.folder.names())
        return sorted(int(match[1]) for match in matches if match)

    def read(self, step: int) -> Saved:
        """Raises BadOutput if it is damaged."""
        name = f"{_stem(step)}.json"
        try:
            record = json.loads(self.folder.read(name))
            files = tuple(record.pop("files"))
            return Saved(state=TrainState(**record), files=files)
        except (ValueError, KeyError, TypeError) as error:
            raise BadOutput(
                f"{self.folder.url(name)}: damaged ({error}); remove it to go on from an earlier one"
            ) from error

    def latest(self) -> Saved | None:
        steps = self.steps()
        return self.read(steps[-1]) if steps else None

    def remove(self, step: int) -> None:
        """Its JSON file first: what is left of a removal that was cut short is no checkpoint."""
        stem = _stem(step)
        self.folder.remove(f"{stem}.json")
        for name in self.folder.names(prefix=stem):
            self.folder.remove(name)

    def prune(self, keep: int) -> None:
        """Removes all but the last ones and the best, and what is left of others that were never finished."""
        steps = self.steps()
        for stem in sorted({name[: len(_stem(0))] for name in self.folder.names(prefix="step-")}):
            if steps and stem < _stem(steps[-1]) and int(stem.removeprefix("step-")) not in steps:
                self.remove(int(stem.removeprefix("step-")))
        if len(steps) > keep:
            kept = {*steps[-keep:], self.best()}
            for step in steps:
                if step not in kept:
                    self.remove(step)

    def best(self) -> int:
        """The step of the best by validation among those that are there; the last without validation."""
        steps = self.steps()
        if not steps:
            raise BadOutput(f"{self.folder.url()}: no checkpoint here")
        by_step = {record["step"]: record for record in self.read(steps[-1]).state.validations}
        return max(steps, key=lambda step: (_merit(by_step.get(step)), step))

    def save(self, engine: Any, network: TrainedNetwork, state: TrainState, group: WorkerGroup) -> None:
        """Called by all workers together; each writes its part of the tensors.

        Raises TrainingDiverged on all of them, and writes nothing, if a weight is no number.
        """
        files = [f"{_stem(state.step)}-{i + 1:05d}-of-{group.size:05d}.safetensors" for i in range(group.size)]
        _link_moments(engine)
        tensors = dict(_own_tensors(network, group))
        [num_bad] = group.all_sum(sum(not bool(tensor.isfinite().all()) for tensor in tensors.values()))
        if num_bad:
            raise TrainingDiverged(f"{num_bad:.0f} tensors are no numbers any more after step {state.step}")
        with self.folder.writing(files[group.rank]) as path:
            save_file(tensors, path)
            path.chmod(0o644)  # safetensors makes files that only their owner can read
        distributed.barrier()
        if group.is_first:
            record = {**asdict(state), "files": files}
            self.folder.write(f"{_stem(state.step)}.json", json.dumps(record).encode())
        distributed.barrier()

    @contextmanager
    def tensors(self, saved: Saved) -> Iterator["Tensors"]:
        """The tensors of a checkpoint, read one at a time."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="artimuse-")))
            paths = [self.folder.local_copy(name, directory) for name in saved.files]
            yield Tensors([stack.enter_context(safe_open(path, framework="pt")) for path in paths])


class Tensors:
    """Weights and moments by name."""

    def __init__(self, files: Sequence[Any]) -> None:
        self._files = {key: file for file in files for key in file.keys()}  # noqa: SIM118 - it is no dictionary

    def names(self) -> list[str]:
        return [key for key in self._files if not key.endswith(tuple(f"|{moment}" for moment in MOMENTS))]

    def weight(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        return tensor

    def moment(self, name: str, moment: str) -> torch.Tensor:
        return self.weight(f"{name}|{moment}")


def load_weights(network: TrainedNetwork, tensors: Tensors) -> None:
    """Puts the weights into a network that is not sharded yet. Raises BadOutput if they are not its own."""
    expected, found = {name for name, _ in network.trained()}, set(tensors.names())
    if expected != found:
        [first, *_] = sorted(expected ^ found)
        raise BadOutput(f"the checkpoint is of another network: {first} is in only one of them")
    for name, parameter in network.trained():
        parameter.data.copy_(tensors.weight(name))


def load_optimizer(engine: Any, network: TrainedNetwork, tensors: Tensors, *, step: int, nothing: Batch) -> None:
    """Sets the float32 weights, the moments and Adam's own count of steps of a sharded network.

    `nothing` is a batch without loss.
    """
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    _make_moments(engine, nothing)
    _link_moments(engine)
    for name, parameter in network.trained():
        safe_set_full_fp32_param(parameter, tensors.weight(name).to(parameter.device))
        for moment in MOMENTS:
            safe_set_full_optimizer_state(parameter, tensors.moment(name, moment).to(parameter.device), moment)
    for state in engine.optimizer.optimizer.state.values():
        if "step" in state:
            state["step"].fill_(step)


def _make_moments(engine: Any, nothing: Batch) -> None:
    """DeepSpeed makes Adam's moments in the first step only (0.19), so it takes one that changes nothing."""
    groups = engine.optimizer.param_groups
    kept = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 0.0
    engine.set_gradient_accumulation_boundary(True)
    loss, _ = engine(nothing)
    engine.backward(loss)
    engine.step()
    for group, rate in zip(groups, kept):
        group["lr"] = rate


def _link_moments(engine: Any) -> None:
    """ZeRO-2 links the moments to their weights after the first group's first step, before the second group has any.

    So it would find none for the second (DeepSpeed 0.19). ZeRO-3 needs no links.
    """
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    optimizer = engine.optimizer
    if engine.zero_optimization_stage() == 2:
        for weights, partition in zip(optimizer.bit16_groups, optimizer.single_partition_of_fp32_groups):
            lazy_init_hp_params_optimizer_state(weights, partition, optimizer.optimizer.state)


def _own_tensors(network: TrainedNetwork, group: WorkerGroup) -> Iterator[tuple[str, torch.Tensor]]:
    """This worker's share; each tensor is put together by all of them."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    for i, (name, parameter) in enumerate(network.trained()):
        whole = {name: safe_get_full_fp32_param(parameter)}
        whole |= {f"{name}|{moment}": safe_get_full_optimizer_state(parameter, moment) for moment in MOMENTS}
        if i % group.size == group.rank:
            for key, tensor in whole.items():
                yield key, tensor.detach().to("cpu", torch.float32, copy=True).contiguous()


def _merit(validation: Mapping[str, Any] | None) -> tuple[float, float]:
    """The greater the better: the rank correlation with the scores, or the negative loss where there is none."""
    if validation is None:
        return float("-inf"), float("-inf")
    srcc, loss = validation["srcc"], validation["loss"]
    return (float("-inf") if srcc is None else srcc), -loss


def _stem(step: int) -> str:
    return f"step-{step:08d}"
