"""What a worker of Ray Train does with its errors, and what the driver makes of them, without Ray."""

from dataclasses import dataclass
from typing import Any

import pytest

from artimuse.errors import BadCheckpoint, BadInput, TrainingDiverged, TrainingFailed
from artimuse.io.folder import Folder
from artimuse.training import worker
from artimuse.training.job import TrainJob
from artimuse.training.loop import train_loop
from artimuse.training.on_ray import raise_problem
from artimuse.training.status import Status
from tests.training.small import score_stage


class Noted:
    """A `status.Reporter` that keeps what it is told."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def update(self, **changes: Any) -> bool:
        self.status.change(**changes)
        return False

    def read(self) -> Status:
        return self.status


@dataclass
class Broken:
    """In place of a worker: fails when it is made, or when it runs."""

    made: Exception | None = None
    running: Exception | None = None
    num_made: int = 0

    def __call__(self, *_: object) -> "Broken":
        self.num_made += 1
        if self.made:
            raise self.made
        return self

    def run(self) -> None:
        if self.running:
            raise self.running


@pytest.fixture
def looped(monkeypatch, tmp_path):
    def loop(broken: Broken, status: Status) -> None:
        monkeypatch.setattr(worker, "Worker", broken)
        config = score_stage("table", tmp_path / "out", device="cpu")
        job = TrainJob(config=config, output=Folder(str(tmp_path)), has_validation=False, reporter=Noted(status))
        train_loop({"job": job})

    return loop


def test_an_error_of_all_workers_is_told_and_ends_them_quietly(looped):
    status = Status()
    looped(Broken(running=TrainingDiverged("step 3")), status)
    assert status.problem == ("TrainingDiverged", "step 3")


def test_an_error_while_a_worker_starts_is_told_and_raised(looped):
    status = Status()
    with pytest.raises(BadCheckpoint):
        looped(Broken(made=BadCheckpoint("no base")), status)
    assert status.problem == ("BadCheckpoint", "no base")


@pytest.mark.parametrize("when", ["made", "running"])
def test_an_error_that_may_pass_is_left_to_ray(looped, when):
    status = Status()
    with pytest.raises(OSError, match="cable"):
        looped(Broken(**{when: OSError("cable")}), status)
    assert status.problem is None


def test_workers_that_are_started_after_such_an_error_do_nothing(looped):
    broken = Broken()
    looped(broken, Status(problem=("BadInput", "no image")))
    assert broken.num_made == 0


def test_the_driver_raises_what_the_workers_told():
    with pytest.raises(BadInput, match=r"^no image$"):
        raise_problem(Status(problem=("BadInput", "no image")), RuntimeError("a worker died"))


def test_the_driver_says_what_else_ended_ray_train_and_that_the_run_goes_on():
    with pytest.raises(TrainingFailed, match=r"^OSError: cable; the same command goes on from the last checkpoint$"):
        raise_problem(Status(), RuntimeError("Traceback\n  line 1\nOSError: cable\n\n"))


def test_the_driver_raises_nothing_after_a_good_run():
    raise_problem(Status(), None)
