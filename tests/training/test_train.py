"""Whole runs on a real cluster: two workers, kills, other numbers of workers, and a plain loop to compare with."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from safetensors import safe_open
from torch.nn import functional
from transformers import get_cosine_schedule_with_warmup

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.limits import DecodeLimits
from artimuse.configs.presets import paper_score_finetune, paper_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.errors import BadInput, BadOutput, RunMismatch, TrainingDiverged, TrainingFailed
from artimuse.images.decode import decode
from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_spec
from artimuse.prompts import attribute_question
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.data.examples import Examples
from artimuse.training.data.sampler import Sampler
from artimuse.training.train import run
from tests.training.tables import NUM_TEXTS, make_table

pytestmark = [pytest.mark.ray, pytest.mark.timeout(480)]

SMALL = {
    "base": "nano",
    "workers": "2",
    "cpus_per_worker": 0.5,
    "batch_size": 8,
    "micro_batch_size": 2,
    "lora_rank": 4,
    "learning_rate": 1e-3,
    "checkpoint_steps": 3,
}
# Sums over two workers are in another order than over one.
LOSS = {"rel": 1e-4, "abs": 1e-5}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> str:
    return str(make_table(tmp_path_factory.mktemp("table")))


def score_stage(table: str, output: Path, **overrides) -> TrainConfig:
    return paper_score_finetune(table, str(output), **{**SMALL, **overrides})


def train(config: TrainConfig):
    return run(config, Console(stderr=True))


def history(output: Path) -> list[dict]:
    saved = Checkpoints(Folder.at(str(output))).latest()
    return saved.state.history


def assert_same_history(found: list[dict], expected: list[dict]):
    assert [entry["step"] for entry in found] == [entry["step"] for entry in expected]
    for ours, theirs in zip(found, expected):
        assert ours["examples"] == theirs["examples"]
        assert ours["learning_rate"] == theirs["learning_rate"]
        assert ours["loss"] == pytest.approx(theirs["loss"], **LOSS)


@pytest.fixture(scope="module")
def undisturbed(ray_cluster, table, tmp_path_factory) -> Path:
    """Two workers, 20 examples in steps of 8, six epochs: 18 steps."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    train(score_stage(table, output, epochs=6))
    return output


def tensors(output: Path, step: int) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(output.glob(f"checkpoints/step-{step:08d}-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return found


def wait_for(path: Path, process: threading.Thread | subprocess.Popen) -> None:
    while not path.exists():
        is_alive = process.is_alive() if isinstance(process, threading.Thread) else process.poll() is None
        assert is_alive, "it ended before it could be killed"
        time.sleep(0.02)


def training_workers() -> list[psutil.Process]:
    """Those of this process's own cluster."""
    own = psutil.Process().children(recursive=True)
    return [process for process in own if "RayTrainWorker" in " ".join(process.cmdline())]


def test_a_run_reports_what_it_did_and_is_not_run_again(undisturbed, table):
    report = train(score_stage(table, undisturbed, epochs=6))
    assert (report.num_steps, report.num_new_steps, report.num_images) == (18, 0, 20)
    assert report.validation["num_scores"] == 6
    assert math.isfinite(report.loss)
    records = history(undisturbed)
    assert records[-1]["loss"] < records[0]["loss"]
    assert all(0 <= entry["waiting_share"] <= 1 for entry in records)


def test_the_last_checkpoints_and_the_best_are_kept(undisturbed):
    checkpoints = Checkpoints(Folder.at(str(undisturbed)))
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


def test_a_killed_worker_changes_nothing(ray_cluster, undisturbed, table, tmp_path):
    output = tmp_path / "out"
    thread = threading.Thread(target=train, args=(score_stage(table, output, epochs=6),))
    thread.start()
    wait_for(output / "checkpoints" / "step-00000006.json", thread)
    victims = training_workers()
    assert len(victims) == 2
    victims[0].kill()
    thread.join()
    assert not any(victim.is_running() for victim in victims)
    assert_same_history(history(output), history(undisturbed))
    assert tensors(output, 18).keys() == tensors(undisturbed, 18).keys()
    for name, tensor in tensors(undisturbed, 18).items():
        torch.testing.assert_close(tensors(output, 18)[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("workers", "then"), [("2", "1"), pytest.param("1", "2", marks=pytest.mark.long)])
def test_a_killed_driver_changes_nothing_and_another_number_of_workers_goes_on(
    undisturbed, table, tmp_path, workers, then
):
    """The killed run has a cluster of its own, as the one that goes on."""
    output = tmp_path / "out"
    arguments = [table, output, "--preset", "paper_score_finetune", "--epochs", 6]
    for name, value in SMALL.items():
        if name != "workers":
            arguments += [f"--{name.replace('_', '-')}", value]
    command = [sys.executable, "-m", "artimuse.cli", "train", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_ADDRESS": "local", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
    with subprocess.Popen(
        [*command, "--workers", workers], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as driver:
        wait_for(output / "checkpoints" / "step-00000006.json", driver)
        driver.send_signal(signal.SIGKILL)
    done = subprocess.run([*command, "--workers", then, "--json"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["num_new_steps"] <= 12
    assert_same_history(history(output), history(undisturbed))


@pytest.mark.parametrize(("zero", "then"), [(2, 3), pytest.param(3, 2, marks=pytest.mark.long)])
def test_another_zero_stage_goes_on_from_a_checkpoint(ray_cluster, undisturbed, table, tmp_path, zero, then):
    output = tmp_path / "out"
    stopped_early(score_stage(table, output, epochs=6, zero=zero), step=6)
    train(score_stage(table, output, epochs=6, zero=then))
    assert_same_history(history(output), history(undisturbed))


def test_an_export_that_was_cut_short_is_made_anew(undisturbed, table, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(undisturbed, output)
    record = json.loads((output / "train.json").read_text())
    (output / "train.json").write_text(json.dumps({**record, "status": "unfinished"}))
    (output / "model" / "config.json").unlink()
    report = train(score_stage(table, output, epochs=6))
    assert report.num_new_steps == 0
    assert find_checkpoint(report.model).directory == output / "model"
    read_spec(find_checkpoint(report.model))


def test_checkpoints_without_the_record_of_their_run_are_not_gone_on_with(undisturbed, table, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(undisturbed, output)
    (output / "train.json").unlink()
    with pytest.raises(BadOutput, match=r"no train\.json \(checkpoints/step-"):
        train(score_stage(table, output, epochs=6))


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


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft 0.21 on transformers 5.23
@pytest.mark.parametrize("zero", [2, 3])
def test_five_steps_are_those_of_a_plain_loop(ray_cluster, table, tmp_path, zero):
    """Weights and gradients (through Adam's moments), with accumulation, a smaller last step, weight decay, two
    questions about each image together, and learning rates of their own for vision encoder and projector."""
    output = tmp_path / "out"
    own = {"lora_dropout": 0.0, "zero": zero, "keep_checkpoints": 9, "checkpoint_steps": 1}
    own |= {"questions_together": NUM_TEXTS, "vision_learning_rate": 2e-4, "projector_learning_rate": 5e-4}
    config = paper_text_pretrain(table, str(output), **{**SMALL, **own})
    train(config)
    expected = plain_loop(config, Examples(output / "examples" / "train.arrow"))
    assert len(expected) == 5
    for step, (loss, weights, first_moments) in enumerate(expected, 1):
        found = tensors(output, step)
        assert history(output)[step - 1]["loss"] == pytest.approx(loss, **LOSS)
        assert {name for name in found if "|" not in name} == weights.keys()
        for name, weight in weights.items():
            # A step moves a weight by about 1e-3; where the gradient is nothing but rounding, Adam makes it a step too.
            torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=5e-5)
            torch.testing.assert_close(found[f"{name}|exp_avg"], first_moments[name], rtol=1e-3, atol=1e-5)


def plain_loop(config: TrainConfig, examples: Examples) -> list[tuple[float, dict, dict]]:
    """One process, the whole batch at once, logits of all tokens, peft's own wrapper: loss, weights and Adam's first
    moments after each step."""
    network = load_network(find_checkpoint("nano"), dtype=torch.float32, device="cpu")
    torch.manual_seed(config.seed)
    model = get_peft_model(
        network.model,
        LoraConfig(
            r=4,
            lora_alpha=8,
            lora_dropout=0.0,
            target_modules=r".*language_model\.layers.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        ),
    )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or "vision_tower" in name or "multi_modal_projector" in name)
    model.train()
    named = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    rates = {"vision_tower": 2e-4, "multi_modal_projector": 5e-4}
    groups = [
        {
            "params": [parameter],
            "weight_decay": config.weight_decay if parameter.ndim >= 2 else 0.0,
            "lr": next((rate for part, rate in rates.items() if part in name), config.learning_rate),
        }
        for name, parameter in named.items()
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999))
    starts = examples.group_starts(config.questions_together)
    lengths = examples.lengths(lambda question: network.template.token_ids(network.tokenizer, question))
    sampler = Sampler(lengths, config.batch_size, config.epochs, config.seed, starts_G=starts)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.03 * sampler.num_steps), sampler.num_steps)
    found = []
    for step in range(sampler.num_steps):
        batch = [examples[int(number)] for number in sampler.examples(step)]
        rows = [network.template.token_ids(network.tokenizer, e.question) + list(e.answer_ids) for e in batch]
        width = max(map(len, rows))
        token_ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        labels = torch.full_like(token_ids, -100)
        for i, (row, example) in enumerate(zip(rows, batch)):
            first = len(row) - len(example.answer_ids)
            labels[i, first : len(row)] = token_ids[i, first : len(row)]
        pixels = torch.stack([pixel_values(example.uri) for example in batch])
        logits = model(input_ids=token_ids, attention_mask=mask, pixel_values=pixels).logits
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(named.values(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        found.append(
            (
                loss.item(),
                {name: p.detach().clone() for name, p in named.items()},
                {name: optimizer.state[p]["exp_avg"].clone() for name, p in named.items()},
            )
        )
    return found


def pixel_values(uri: str) -> torch.Tensor:
    pixels = torch.from_numpy(decode(Path(uri).read_bytes(), DecodeLimits()).pixels_HWC.copy()).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def test_a_setting_that_differs_is_refused_by_name(undisturbed, table):
    with pytest.raises(RunMismatch, match=r"learning_rate: OUTPUT has 0.001, this run has 0.002"):
        train(score_stage(table, undisturbed, epochs=6, learning_rate=2e-3))


def test_a_directory_with_other_files_is_left_alone(ray_cluster, table, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadOutput, match=r"thesis\.txt"):
        train(score_stage(table, tmp_path))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.txt"]


def test_a_data_set_that_is_not_there_is_refused_with_those_that_are(ray_cluster, table, tmp_path):
    with pytest.raises(BadInput, match=r"no data set AVA; rows found: grey \(expert\): 20"):
        train(score_stage(table, tmp_path / "out", datasets=("grey", "AVA")))
    assert not (tmp_path / "out" / "train.json").exists()


def test_a_loss_that_is_no_number_stops_naming_step_images_and_checkpoint(ray_cluster, table, tmp_path):
    config = score_stage(table, tmp_path / "out", learning_rate=1e30, warmup_ratio=0.0, checkpoint_steps=1)
    with pytest.raises(
        TrainingDiverged, match=r"in step \d+; its images are picture \d+.*the last good checkpoint is of"
    ):
        train(config)


def test_bad_images_are_left_out_always_the_same_ones(ray_cluster, tmp_path):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    reports = [train(score_stage(table, tmp_path / workers, epochs=1, workers=workers)) for workers in ("2", "1")]
    assert all(set(report.bad_images) == {"picture 3", "picture 17"} for report in reports)
    assert_same_history(history(tmp_path / "2"), history(tmp_path / "1"))
    assert sum(entry["num_samples"] for entry in history(tmp_path / "2")) == 18


def test_bad_images_stop_the_run_if_it_is_told_so(ray_cluster, tmp_path):
    table = str(make_table(tmp_path / "table", bad=(3, 17)))
    with pytest.raises(BadInput, match=r"images cannot be decoded: picture (3|17) \(unsupported_format"):
        train(score_stage(table, tmp_path / "out", bad_images="stop"))


def test_a_run_that_is_asked_to_stop_saves_and_goes_on(undisturbed, table, tmp_path):
    output = tmp_path / "out"
    arguments = [str(table), str(output), "--preset", "paper_score_finetune", "--epochs", "6"]
    for name, value in {**SMALL, "checkpoint_steps": 100}.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "artimuse.cli", "train", *arguments]
    environment = os.environ | {"RAY_ADDRESS": "local", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "training" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 4, rest
    assert "the same command goes on from there" in rest
    stopped_at = history(output)[-1]["step"]
    assert 0 < stopped_at < 18
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout)["num_new_steps"] == 18 - stopped_at, done.stderr
    assert_same_history(history(output), history(undisturbed))


def test_the_text_stage_learns_every_text_on_as_many_workers_as_there_is_room_for(ray_cluster, table, tmp_path):
    report = train(
        paper_text_pretrain(table, str(tmp_path / "out"), **{**SMALL, "workers": "1:2", "cpus_per_worker": 3.0})
    )
    assert report.num_workers == 1
    assert report.num_examples == 20 * NUM_TEXTS
    assert report.validation["srcc"] is None
    examples = Examples(tmp_path / "out" / "examples" / "train.arrow")
    assert {examples[i].question for i in range(len(examples))} == {
        attribute_question(attribute) for attribute in ATTRIBUTES[:NUM_TEXTS]
    }


def test_a_run_in_bfloat16_keeps_its_weights_in_float32_and_goes_on_with_them(ray_cluster, table, tmp_path):
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
