"""Training in this process: what it refuses, what it leaves as it was, and how it ends when something is wrong."""

import gc
import os
import subprocess
import sys

import pytest
import torch

from artimuse.errors import ClusterProblem, Interrupted, OutputLocked, TrainingFailed
from artimuse.runs.lock import Lock
from artimuse.training import in_process, train
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.in_process import InProcess
from artimuse.training.worker import Worker
from tests.training.small import asked_to_stop_after, score_stage
from tests.training.small import train as run

pytestmark = pytest.mark.timeout(120)


def test_training_loads_no_ray():
    """In a process of its own: other tests load Ray."""
    code = "import sys, artimuse.training.train, artimuse.training.in_process; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_gpu_that_this_process_does_not_have_is_refused(table, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ClusterProblem, match="torch finds no CUDA device here"):
        run(score_stage(table, tmp_path / "out", device="cuda"))
    assert not (tmp_path / "out" / "train.json").exists()


@pytest.mark.parametrize(("backend", "size"), [("nccl", 1), ("gloo", 2)])
def test_a_process_in_another_group_of_torch_is_refused(table, tmp_path, monkeypatch, backend, size):
    for name, value in {"is_initialized": True, "get_backend": backend, "get_world_size": size}.items():
        monkeypatch.setattr(in_process.distributed, name, lambda value=value: value)
    with pytest.raises(ClusterProblem, match=rf"group \({backend}, of {size}\); start the training in a new process"):
        run(score_stage(table, tmp_path / "out", device="cpu"))


def test_the_process_is_left_as_it_was(table, tmp_path, monkeypatch):
    """Also the memory of the worker is free before the export needs as much."""
    fit, export, states, num_left = InProcess.fit, InProcess.export, [], []

    def watched(self, *arguments, **options):
        states.append(torch.get_rng_state())
        status = fit(self, *arguments, **options)
        states.append(torch.get_rng_state())
        return status

    def counted(self, *arguments):
        step = export(self, *arguments)
        num_left.append(sum(type(thing) is Worker for thing in gc.get_objects()))
        return step

    monkeypatch.setattr(InProcess, "fit", watched)
    monkeypatch.setattr(InProcess, "export", counted)
    monkeypatch.setenv("LOCAL_RANK", "5")
    run(score_stage(table, tmp_path / "out", epochs=1))
    assert num_left == [0]
    assert os.environ["LOCAL_RANK"] == "5"
    assert torch.equal(*states)


def test_an_error_that_may_pass_says_how_to_go_on(table, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: the link is down")

    monkeypatch.setattr(Worker, "_step", fail)
    with pytest.raises(TrainingFailed, match=r"the link is down; the same command goes on from the last checkpoint"):
        run(score_stage(table, tmp_path / "out"))


def test_a_run_that_lost_its_output_to_another_ends(table, tmp_path, monkeypatch):
    remember = Worker._remember

    def lose_lock(self: Worker, record: dict) -> None:
        remember(self, record)

        def check(_: Lock) -> None:
            raise OutputLocked("another run has taken it")

        monkeypatch.setattr(Lock, "check", check)

    monkeypatch.setattr(Worker, "_remember", lose_lock)
    with pytest.raises(OutputLocked, match="another run has taken it"):
        run(score_stage(table, tmp_path / "out"))
    assert not (tmp_path / "out" / "model").exists()


def test_a_stop_whose_grace_is_over_ends_at_the_last_checkpoint(table, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "GRACE_S", 0.0)
    with asked_to_stop_after(4), pytest.raises(Interrupted, match="the last checkpoint is on disk"):
        run(score_stage(table, tmp_path / "out"))
    assert Checkpoints(in_process.Folder.at(str(tmp_path / "out"))).steps() == [3]
