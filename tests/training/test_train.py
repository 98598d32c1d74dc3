"""Whole runs in this process. `test_on_ray.py` has them on a cluster."""

import json
import math
import re
import shutil
import signal
import subprocess

import pytest
import torch
from safetensors.torch import load_file

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.presets import paper_text_pretrain
from artimuse.errors import BadInput, BadOutput, Interrupted, RunMismatch, TrainingDiverged
from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.prompts import attribute_question
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.data.examples import Examples
from tests.training.plain_loop import assert_steps_of_a_plain_loop, five_steps
from tests.training.small import (
    EPOCHS,
    SMALL,
    Killed,
    asked_to_stop_after,
    assert_same_history,
    command,
    dies_after,
    history,
    score_stage,
    tensors,
    train,
)
from tests.training.tables import NUM_TEXTS, make_table

pytestmark = pytest.mark.timeout(240)


def test_a_run_reports_what_it_did_and_is_not_run_again(alone, table):
    report = train(score_stage(table, alone, epochs=6))
    assert (report.num_steps, report.num_new_steps, report.num_images) == (18, 0, 20)
    assert report.validation["num_scores"] == 6
    assert math.isfinite(report.loss)
    records = history(alone)
    assert records[-1]["loss"] < records[0]["loss"]
    assert all(0 <= entry["waiting_share"] <= 1 for entry in records)


def test_a_run_of_one_step_is_exported(table, tmp_path):
    report = train(score_stage(table, tmp_path / "out", epochs=1, batch_size=128))
    assert (report.num_steps, report.checkpoint) == (1, 1)


def test_the_last_checkpoints_and_the_best_are_kept(alone):
    checkpoints = Checkpoints(Folder.at(str(alone)))
    state = checkpoints.latest().state
    assert [entry["step"] for entry in state.validations] == list(range(3, 19, 3))
    ranked = max(state.validations, key=lambda entry: (entry["srcc"], -entry["loss"]))
    kept = {*checkpoints.steps()}
    assert {15, 18} <= kept
    assert len(kept) <= 3
    assert checkpoints.best() == max(
        kept, key=lambda step: next((e["srcc"], -e["loss"]) for e in state.validations if e["step"] == step)
    )
    assert ranked["step"] == checkpoints.best()


@pytest.mark.long
def test_a_killed_process_changes_nothing(alone, table, tmp_path):
    """A process of its own, to be killed."""
    output = tmp_path / "out"
    with subprocess.Popen(command(table, output), stderr=subprocess.DEVNULL) as process:
        while not (output / "checkpoints" / "step-00000006.json").exists():
            assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    assert 0 < train(score_stage(table, output, epochs=EPOCHS)).num_new_steps <= 12
    assert_same_history(history(output), history(alone))


@pytest.mark.parametrize(("zero", "then"), [(2, 3), pytest.param(3, 2, marks=pytest.mark.long)])
@pytest.mark.long
def test_another_zero_stage_goes_on_from_a_checkpoint(alone, table, tmp_path, zero, then):
    output = tmp_path / "out"
    with dies_after(6), pytest.raises(Killed):
        train(score_stage(table, output, epochs=EPOCHS, zero=zero))
    assert not (output / "model").exists()
    assert train(score_stage(table, output, epochs=EPOCHS, zero=then)).num_new_steps == 12
    assert_same_history(history(output), history(alone))


def test_an_export_that_was_cut_short_is_made_again(alone, table, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(alone, output)
    record = json.loads((output / "train.json").read_text())
    (output / "train.json").write_text(json.dumps({**record, "status": "unfinished"}))
    (output / "model" / "config.json").unlink()
    report = train(score_stage(table, output, epochs=6))
    assert report.num_new_steps == 0
    assert find_checkpoint(report.model).directory == output / "model"
    read_spec(find_checkpoint(report.model))


def test_checkpoints_without_the_record_of_their_run_are_not_gone_on_with(alone, table, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(alone, output)
    (output / "train.json").unlink()
    with pytest.raises(BadOutput, match=r"no train\.json \(checkpoints/step-"):
        train(score_stage(table, output, epochs=6))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft 0.21 on transformers 5.23
@pytest.mark.parametrize("zero", [2, 3])
def test_five_steps_are_those_of_a_plain_loop(table, tmp_path, zero):
    config = five_steps(table, tmp_path / "out", zero=zero)
    train(config)
    assert_steps_of_a_plain_loop(config)


def test_a_setting_that_differs_is_refused_by_name(alone, table):
    with pytest.raises(RunMismatch, match=r"learning_rate: OUTPUT has 0.001, this run has 0.002"):
        train(score_stage(table, alone, epochs=6, learning_rate=2e-3))


@pytest.mark.parametrize(
    ("train_", "zero"), [(("vision",), 2), (("projector",), 3), (("vision", "projector"), 2), (("language",), 2)]
)
def test_what_is_not_trained_is_that_of_the_base_in_the_export_bit_by_bit(table, tmp_path, train_, zero):
    output = tmp_path / "out"
    config = score_stage(table, output, epochs=1, train=train_, zero=zero, gradient_checkpointing=zero == 2)
    report = train(config)
    exported = load_file(output / "model" / "model.safetensors")
    base = dict(read_spec(find_checkpoint("nano")).weights(torch.float32, "cpu"))
    where = {"vision_tower": "vision", "multi_modal_projector": "projector"}
    moved = {name for name, weight in base.items() if not torch.equal(exported[name], weight)}
    assert {where.get(name.split(".")[1], "language") for name in moved} == set(train_)
    with pytest.raises(RunMismatch, match=r"train: OUTPUT has \[.*\], this run has \['vision', 'projector', 'lang"):
        train(score_stage(table, output, epochs=1, zero=zero))
    assert report.num_steps == 3


@pytest.mark.long
def test_a_run_of_a_part_goes_on_after_a_kill(table, tmp_path):
    options = {"epochs": 2, "train": ("vision", "projector")}
    train(score_stage(table, tmp_path / "whole", **options))
    with dies_after(3), pytest.raises(Killed):
        train(score_stage(table, tmp_path / "killed", **options))
    train(score_stage(table, tmp_path / "killed", **options))
    assert_same_history(history(tmp_path / "killed"), history(tmp_path / "whole"))


def test_a_run_on_several_tables_is_one_on_all_of_them(table, tmp_path):
    more = str(make_table(tmp_path / "more", num_train=4, num_validation=2))
    options = {"more_annotations": (more,), "weights": ("grey=2",), "epochs": 1}
    report = train(score_stage(table, tmp_path / "out", **options))
    assert (report.num_images, report.num_examples, report.validation["num_scores"]) == (24, 48, 8)
    assert sum(entry["num_samples"] for entry in history(tmp_path / "out")) == 48
    assert "grey: 24 images, weight 2" in (tmp_path / "out" / "model" / "README.md").read_text()
    with pytest.raises(RunMismatch, match=r"weights: OUTPUT has \['grey=2'\], this run has \['grey=3'\]"):
        train(score_stage(table, tmp_path / "out", **{**options, "weights": ("grey=3",)}))


def test_a_run_that_was_begun_before_an_option_was_there_goes_on(alone, table, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(alone, output)
    record = json.loads((output / "train.json").read_text())
    del record["config"]["train"]
    (output / "train.json").write_text(json.dumps(record))
    assert train(score_stage(table, output, epochs=EPOCHS)).num_new_steps == 0


def test_a_directory_with_other_files_is_left_alone(table, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadOutput, match=r"thesis\.txt"):
        train(score_stage(table, tmp_path))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.txt"]


def test_a_data_set_that_is_not_there_is_refused_with_those_that_are(table, tmp_path):
    with pytest.raises(BadInput, match=r"no data set AVA; rows found: grey \(expert\): 20"):
        train(score_stage(table, tmp_path / "out", datasets=("grey", "AVA")))
    assert not (tmp_path / "out" / "train.json").exists()


def test_a_loss_that_is_no_number_stops_naming_step_images_and_checkpoint(table, tmp_path):
    config = score_stage(table, tmp_path / "out", learning_rate=1e30, warmup_ratio=0.0, checkpoint_steps=1)
    with pytest.raises(
        TrainingDiverged, match=r"in step \d+; its images are picture \d+.*the last good checkpoint is of"
    ):
        train(config)


def test_bad_images_are_left_out_and_said_at_once_and_in_the_end(tmp_path, caplog):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    report = train(score_stage(table, tmp_path / "out", epochs=1))
    told = [message for message in caplog.messages if message.startswith("images that cannot be read and are left out")]
    assert re.search(r"left out: [12]: picture (3|17) \(unsupported_format: .*--bad-images stop would stop", told[0])
    assert re.search(r"^2 images that cannot be read: picture \d+ \(unsup", dict(report._lines())["left out"])
    assert set(report.bad_images) == {"picture 3", "picture 17"}
    assert sum(entry["num_samples"] for entry in history(tmp_path / "out")) == 18


def test_bad_images_stop_the_run_if_it_is_told_so(tmp_path):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    with pytest.raises(BadInput, match=r"images cannot be decoded: picture (3|17) \(unsupported_format"):
        train(score_stage(table, tmp_path / "out", bad_images="stop"))


def test_a_run_that_is_asked_to_stop_saves_and_goes_on(alone, table, tmp_path):
    output = tmp_path / "out"
    config = score_stage(table, output, epochs=EPOCHS, checkpoint_steps=100)
    with (
        asked_to_stop_after(4),
        pytest.raises(Interrupted, match=r"4 of 18 steps are done; the same command goes on from there"),
    ):
        train(config)
    assert history(output)[-1]["step"] == 4
    assert train(config).num_new_steps == 14
    assert_same_history(history(output), history(alone))


def test_the_text_stage_learns_every_text(table, tmp_path):
    report = train(paper_text_pretrain(table, str(tmp_path / "out"), **SMALL))
    assert (report.num_workers, report.num_examples) == (1, 20 * NUM_TEXTS)
    assert report.validation["srcc"] is None
    examples = Examples(tmp_path / "out" / "examples" / "train.arrow")
    assert {examples[i].question for i in range(len(examples))} == {
        attribute_question(attribute) for attribute in ATTRIBUTES[:NUM_TEXTS]
    }


@pytest.mark.long
def test_a_run_in_bfloat16_keeps_its_weights_in_float32_and_goes_on_with_them(table, tmp_path):
    whole, halved = (tmp_path / name for name in ("whole", "halved"))
    options = {"epochs": 2, "dtype": "bfloat16", "keep_checkpoints": 9}
    train(score_stage(table, whole, **options))
    shutil.copytree(whole, halved)
    shutil.rmtree(halved / "model")
    for path in (halved / "checkpoints").glob("step-00000006*"):
        path.unlink()
    record = json.loads((halved / "train.json").read_text())
    (halved / "train.json").write_text(json.dumps({**record, "status": "unfinished"}))
    assert train(score_stage(table, halved, **options)).num_new_steps == 3
    assert_same_history(history(halved), history(whole))
    saved = tensors(whole, 6)
    assert all(tensor.dtype == torch.float32 for tensor in saved.values())
    weights = [tensor for name, tensor in saved.items() if "|" not in name]
    assert not all(torch.equal(weight, weight.bfloat16().float()) for weight in weights)
