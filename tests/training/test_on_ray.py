"""Whole runs on a real Ray cluster: two workers, kills, other numbers of workers, errors of all workers.

Processes of their own are those that are killed, and the one that gets a signal: Ray Train and its helpers must see it
as they do outside of pytest.
"""

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from artimuse.configs.presets import paper_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.errors import BadInput, TrainingDiverged, TrainingFailed
from tests.training.plain_loop import assert_steps_of_a_plain_loop, five_steps
from tests.training.small import EPOCHS, SMALL, assert_same_history, command, history, score_stage, tensors, train
from tests.training.tables import NUM_TEXTS, make_table

pytestmark = [pytest.mark.ray, pytest.mark.timeout(480), pytest.mark.usefixtures("ray_cluster")]

ENVIRONMENT = {"RAY_ADDRESS": "local", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
"""Of runs with a cluster of their own."""


def wait_for(path: Path, process: threading.Thread | subprocess.Popen) -> None:
    while not path.exists():
        is_alive = process.is_alive() if isinstance(process, threading.Thread) else process.poll() is None
        assert is_alive, "it ended before it could be killed"
        time.sleep(0.02)


def training_workers() -> list[psutil.Process]:
    """Those of this process's own cluster."""
    own = psutil.Process().children(recursive=True)
    return [process for process in own if "RayTrainWorker" in " ".join(process.cmdline())]


@pytest.fixture(scope="module")
def disturbed(ray_cluster, table, tmp_path_factory) -> Path:
    """Two workers, of which one is killed after six steps."""
    output = tmp_path_factory.mktemp("disturbed") / "out"
    thread = threading.Thread(target=train, args=(score_stage(table, output, epochs=EPOCHS, workers="2"),))
    thread.start()
    wait_for(output / "checkpoints" / "step-00000006.json", thread)
    victims = training_workers()
    assert len(victims) == 2
    victims[0].kill()
    thread.join()
    assert not any(victim.is_running() for victim in victims)
    return output


def test_a_killed_worker_changes_no_step(disturbed, alone):
    assert_same_history(history(disturbed), history(alone))
    assert tensors(disturbed, 18).keys() == tensors(alone, 18).keys()


@pytest.mark.long
def test_a_killed_worker_changes_no_weight(disturbed, undisturbed):
    assert_same_history(history(disturbed), history(undisturbed))
    assert tensors(disturbed, 18).keys() == tensors(undisturbed, 18).keys()
    for name, tensor in tensors(undisturbed, 18).items():
        torch.testing.assert_close(tensors(disturbed, 18)[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_two_workers_have_the_steps_of_one_process(undisturbed, alone):
    assert_same_history(history(undisturbed), history(alone))


@pytest.mark.long
@pytest.mark.parametrize(("workers", "then"), [("2", "1"), ("1", "2")])
def test_a_killed_driver_changes_nothing_and_another_number_of_workers_goes_on(
    undisturbed, table, tmp_path, workers, then
):
    """The killed run has a cluster of its own, as the one that goes on."""
    output = tmp_path / "out"
    with subprocess.Popen(
        command(table, output, workers=workers),
        env=os.environ | ENVIRONMENT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as driver:
        wait_for(output / "checkpoints" / "step-00000006.json", driver)
        driver.send_signal(signal.SIGKILL)
    again = [*command(table, output, workers=then), "--json"]
    done = subprocess.run(again, env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["num_new_steps"] <= 12
    assert_same_history(history(output), history(undisturbed))


@pytest.mark.long
@pytest.mark.parametrize(("zero", "then"), [(2, 3), (3, 2)])
def test_another_zero_stage_goes_on_from_a_checkpoint(undisturbed, table, tmp_path, zero, then):
    output = tmp_path / "out"
    stopped_early(score_stage(table, output, epochs=EPOCHS, workers="2", zero=zero), step=6)
    train(score_stage(table, output, epochs=EPOCHS, workers="2", zero=then))
    assert_same_history(history(output), history(undisturbed))


def train_in_vain(config: TrainConfig) -> None:
    with pytest.raises(TrainingFailed):
        train(config)


def stopped_early(config: TrainConfig, *, step: int) -> None:
    """A run that ends after this step, as if killed: the record of a longer one, with the checkpoints of its begin."""
    output = Path(config.output)
    thread = threading.Thread(target=train_in_vain, args=(replace(config, max_failures=0),))
    thread.start()
    wait_for(output / "checkpoints" / f"step-{step:08d}.json", thread)
    training_workers()[0].kill()
    thread.join()
    assert not (output / "model").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft 0.21 on transformers 5.23
@pytest.mark.parametrize("zero", [2, 3])
def test_five_steps_of_two_workers_are_those_of_a_plain_loop(table, tmp_path, zero):
    config = five_steps(table, tmp_path / "out", workers="2", zero=zero)
    train(config)
    assert_steps_of_a_plain_loop(config)


@pytest.mark.long
def test_a_run_that_is_asked_to_stop_saves_and_goes_on(undisturbed, table, tmp_path):
    output = tmp_path / "out"
    asked = command(table, output, workers="2", checkpoint_steps=100)
    with subprocess.Popen(asked, env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "training" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 4, rest
    assert "the same command goes on from there" in rest
    stopped_at = history(output)[-1]["step"]
    assert 0 < stopped_at < 18
    done = subprocess.run([*asked, "--json"], env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    assert json.loads(done.stdout)["num_new_steps"] == 18 - stopped_at, done.stderr
    assert_same_history(history(output), history(undisturbed))


@pytest.mark.long
def test_a_loss_that_is_no_number_stops_naming_step_images_and_checkpoint(table, tmp_path):
    rates = {"learning_rate": 1e30, "warmup_ratio": 0.0, "checkpoint_steps": 1}
    with pytest.raises(
        TrainingDiverged, match=r"in step \d+; its images are picture \d+.*the last good checkpoint is of"
    ):
        train(score_stage(table, tmp_path / "out", workers="2", **rates))


@pytest.mark.long
def test_bad_images_are_left_out_always_the_same_ones(tmp_path):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    reports = [train(score_stage(table, tmp_path / workers, epochs=1, workers=workers)) for workers in "210"]
    assert all(set(report.bad_images) == {"picture 3", "picture 17"} for report in reports)
    for workers in "10":
        assert_same_history(history(tmp_path / "2"), history(tmp_path / workers))


@pytest.mark.long
def test_bad_images_stop_the_run_if_it_is_told_so(tmp_path):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    with pytest.raises(BadInput, match=r"images cannot be decoded: picture (3|17) \(unsupported_format"):
        train(score_stage(table, tmp_path / "out", workers="2", bad_images="stop"))


@pytest.mark.long
def test_there_are_as_many_workers_as_there_is_room_for(table, tmp_path):
    options = {**SMALL, "workers": "1:2", "cpus_per_worker": 3.0}
    report = train(paper_text_pretrain(table, str(tmp_path / "out"), **options))
    assert report.num_workers == 1
    assert report.num_examples == 20 * NUM_TEXTS
