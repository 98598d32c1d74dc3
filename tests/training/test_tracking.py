import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from artimuse.configs.presets import paper_score_finetune
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.training.tracking import open_tracker


def config(tracker):
    return paper_score_finetune("table", "out", tracker=tracker)


def record(step, loss):
    curves = {"learning_rate": 1e-3, "grad_norm": 1.0, "num_answer_tokens": 4, "seconds": 0.5, "waiting_share": 0.1}
    return {"step": step, "loss": loss, **curves}


VALIDATION = {"step": 2, "loss": 0.5, "srcc": 0.9, "plcc": None}


def curve(folder, name):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_tensorboard_draws_one_curve_over_a_restart(tmp_path):
    output = Folder.at(str(tmp_path))
    with open_tracker(config("tensorboard"), output, first_step=0, is_active=True) as tracker:
        for step, loss in ((1, 3.0), (2, 2.0), (3, 1.0)):
            tracker.step(record(step, loss))
        tracker.validation(VALIDATION)
    with open_tracker(config("tensorboard"), output, first_step=2, is_active=True) as tracker:
        tracker.step(record(3, 1.5))
    assert curve(tmp_path / "tensorboard", "train/loss") == [(1, 3.0), (2, 2.0), (3, 1.5)]
    assert curve(tmp_path / "tensorboard", "validation/srcc") == [(2, 0.9)]


def test_tensorboard_files_reach_an_object_store(memory_url, tmp_path):
    output = Folder.at(memory_url)
    with open_tracker(config("tensorboard"), output, first_step=0, is_active=True) as tracker:
        tracker.step(record(1, 3.0))
    [name] = output.names("tensorboard")
    (tmp_path / name).write_bytes(output.read(f"tensorboard/{name}"))
    assert curve(tmp_path, "train/loss") == [(1, 3.0)]


def test_wandb_keeps_its_files_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with open_tracker(config("wandb"), Folder.at(str(tmp_path)), first_step=0, is_active=True) as tracker:
        tracker.step(record(1, 3.0))
        tracker.validation(VALIDATION)
    [run] = (tmp_path / "wandb").glob("offline-run-*")
    [kept] = [path.read_bytes() for path in run.glob("*.wandb")]
    assert all(name in kept for name in (b"train/loss", b"validation/srcc", b"paper_score_finetune"))


def test_wandb_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        pytest.raises(BadOutput, match="pip install wandb"),
        open_tracker(config("wandb"), Folder.at(str(tmp_path)), first_step=0, is_active=True),
    ):
        pass


def test_other_workers_and_none_write_nothing(tmp_path):
    for tracker, is_active in (("tensorboard", False), ("none", True)):
        with open_tracker(config(tracker), Folder.at(str(tmp_path)), first_step=0, is_active=is_active) as nobody:
            nobody.step(record(1, 3.0))
            nobody.validation(VALIDATION)
    assert list(tmp_path.iterdir()) == []
