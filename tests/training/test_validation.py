"""When a run validates, apart from its checkpoints."""

from pathlib import Path

import pytest

from artimuse.errors import Interrupted
from artimuse.io.folder import Folder
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.validation import is_due
from tests.training.small import LOSS, Killed, asked_to_stop_after, dies_after, score_stage, train
from tests.training.tables import make_table

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("num_steps", "eval_steps", "expected"),
    [(5, None, [1, 2, 3, 4, 5]), (25, None, [*range(2, 25, 2), 25]), (7, 3, [3, 6, 7]), (7, 100, [7])],
)
def test_validations_are_due_every_so_many_steps_and_at_the_end(num_steps, eval_steps, expected):
    assert [step for step in range(1, num_steps + 1) if is_due(step, num_steps, eval_steps)] == expected


def test_a_stage_of_any_length_has_ten_validations_or_one_after_every_step():
    for num_steps in range(1, 400):
        num_due = sum(is_due(step, num_steps, None) for step in range(1, num_steps + 1))
        assert min(10, num_steps) <= num_due < 20


def validated_steps(output: Path) -> list[int]:
    return [entry["step"] for entry in Checkpoints(Folder.at(str(output))).latest().state.validations]


def test_a_short_stage_is_validated_ten_times_and_the_last_checkpoint_only_is_saved(tmp_path):
    table = str(make_table(tmp_path / "table", num_train=23, num_validation=2))
    output = tmp_path / "out"
    report = train(score_stage(table, output, epochs=1, batch_size=1, eval_steps=None, checkpoint_steps=100))
    assert validated_steps(output) == [*range(2, 23, 2), 23]
    assert Checkpoints(Folder.at(str(output))).steps() == [23]
    assert report.num_validations == 12
    assert 0 < report.validation_share < 1


@pytest.mark.long
def test_a_killed_run_has_the_validations_of_an_undisturbed_one(table, tmp_path):
    options = {"epochs": 2, "eval_steps": 2, "checkpoint_steps": 3}
    train(score_stage(table, tmp_path / "whole", **options))
    with dies_after(3), pytest.raises(Killed):
        train(score_stage(table, tmp_path / "killed", **options))
    train(score_stage(table, tmp_path / "killed", **options))
    whole, killed = (Checkpoints(Folder.at(str(tmp_path / name))).latest().state for name in ("whole", "killed"))
    assert [entry["step"] for entry in killed.validations] == [2, 3, 4, 6]
    for ours, theirs in zip(killed.validations, whole.validations, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], **LOSS)


def test_a_run_that_is_asked_to_stop_has_validated_where_it_was_due(table, tmp_path):
    config = score_stage(table, tmp_path / "out", epochs=2, eval_steps=2, checkpoint_steps=100)
    with asked_to_stop_after(2), pytest.raises(Interrupted):
        train(config)
    assert validated_steps(tmp_path / "out") == [2]
