import logging

from rich.console import Console

from artimuse.training import progress as progress_module
from artimuse.training.progress import TrainProgress
from artimuse.training.status import Status

RECORD = {"loss": 1.25, "num_samples": 8}


def test_a_log_tells_each_phase_once_and_how_far_it_is(caplog, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    with TrainProgress(Console(force_terminal=False)) as progress:
        for phase in ("starting the workers", "starting the workers", "training", "saving", "training"):
            progress.show(Status(phase=phase))
        progress.show(Status(phase="training", step=4, num_steps=8, record=RECORD))
        for _ in range(20):
            progress.show(Status(phase="training", step=6, num_steps=8, record=RECORD, validation={"srcc": 0.5}))
    assert caplog.messages[:3] == ["starting the workers", "training", "saving"]
    assert len(caplog.messages) == 4
    assert caplog.messages[3].startswith("training: step 6 of 8, loss 1.2500, SRCC 0.500, ")
    assert "samples/s" in caplog.messages[3]
    assert "left" in caplog.messages[3]


def test_images_that_are_left_out_are_told_at_once_and_when_they_are_twice_as_many(caplog):
    caplog.set_level(logging.WARNING, logger="artimuse")
    with TrainProgress(Console(force_terminal=False)) as progress:
        for number in (0, 1, 1, 2, 3, 3, 4, 9):
            progress.show(Status(num_bad_images=number, bad_images={"a": "corrupt: no picture"} if number else {}))
    assert [message.split(": ")[1] for message in caplog.messages] == ["1", "2", "4", "9"]
    assert caplog.messages[-1] == (
        "images that cannot be read and are left out: 9: a (corrupt: no picture) and 8 more;"
        " --bad-images stop would stop at them"
    )


def test_a_terminal_gets_a_bar():
    console = Console(force_terminal=True, width=120, record=True)
    with TrainProgress(console) as progress:
        progress.show(Status(phase="training", step=4, num_steps=8, record=RECORD))
        progress._bar.refresh()
        shown = console.export_text()
    assert "4/8" in shown
    assert "loss 1.2500" in shown
