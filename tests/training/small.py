"""Short training runs of nano on small tables, and what they leave."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import safe_open

from artimuse.configs.presets import paper_score_finetune
from artimuse.configs.train import TrainConfig
from artimuse.io.folder import Folder
from artimuse.training import worker
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.report import TrainReport
from artimuse.training.train import run
from artimuse.training.worker import Worker

SMALL = {
    "base": "nano",
    "system_message": "base",
    "workers": "0",
    "cpus_per_worker": 0.5,
    "batch_size": 8,
    "micro_batch_size": 2,
    "lora_rank": 4,
    "learning_rate": 1e-3,
    "checkpoint_steps": 3,
    "eval_steps": 3,
}
EPOCHS = 6
"""Of 20 examples in steps of 8: 18 steps."""
# Sums over two workers are in another order than over one.
LOSS = {"rel": 1e-4, "abs": 1e-5}


def score_stage(table: str, output: Path | str, **overrides) -> TrainConfig:
    return paper_score_finetune(table, str(output), **{**SMALL, **overrides})


def train(config: TrainConfig) -> TrainReport:
    return run(config, Console(stderr=True))


@contextmanager
def asked_to_stop_after(step: int) -> Iterator[None]:
    """A run of this process gets a SIGTERM within the step."""
    remember = Worker._remember

    def stop_and_remember(self: Worker, record: dict) -> None:
        if record["step"] == step:
            os.kill(os.getpid(), signal.SIGTERM)
        remember(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "UPDATE_INTERVAL_S", 0.0)
        patch.setattr(Worker, "_remember", stop_and_remember)
        yield


class Killed(BaseException):
    """As abrupt as a kill: no handler of ours expects it."""


@contextmanager
def dies_after(step: int) -> Iterator[None]:
    """Makes a run end as if it were killed, when the checkpoint of this step is saved."""
    save = Worker._save

    def save_and_die(self: Worker) -> None:
        save(self)
        if self.state.step == step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "_save", save_and_die)
        yield


def command(table: str, output: Path | str, **overrides) -> list[str]:
    """The same as a command, for a process of its own."""
    arguments = ["train", table, str(output), "--preset", "paper_score_finetune"]
    for name, value in {**SMALL, "epochs": EPOCHS, **overrides}.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    return [sys.executable, "-m", "artimuse", *arguments]


def history(output: Path) -> list[dict]:
    saved = Checkpoints(Folder.at(str(output))).latest()
    return saved.state.history


def assert_same_history(found: list[dict], expected: list[dict]) -> None:
    assert [entry["step"] for entry in found] == [entry["step"] for entry in expected]
    for ours, theirs in zip(found, expected):
        assert ours["examples"] == theirs["examples"]
        assert ours["learning_rate"] == theirs["learning_rate"]
        assert ours["loss"] == pytest.approx(theirs["loss"], **LOSS)


def tensors(output: Path, step: int) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(output.glob(f"checkpoints/step-{step:08d}-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return found
