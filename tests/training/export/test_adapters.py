"""Adapters as peft reads them, on a base that transformers reads."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from transformers import InternVLForConditionalGeneration

from artimuse.cli import main
from artimuse.configs.export import ExportConfig
from artimuse.errors import BadInput
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_spec
from artimuse.model.save import save_checkpoint
from artimuse.scoring import STRATEGIES
from artimuse.training.export.comparison import first_logits, fixed_images
from artimuse.training.export.export import ExportReport, run
from tests.training.small import score_stage, train

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft 0.21 on transformers 5.23
]
FLOAT32, CPU = torch.float32, torch.device("cpu")


@pytest.fixture(scope="module")
def native_base(tmp_path_factory) -> str:
    """nano in float32, as transformers reads it."""
    folder = tmp_path_factory.mktemp("base") / "native"
    spec = read_spec(find_checkpoint("nano"))
    save_checkpoint(folder, spec, spec.weights(FLOAT32, CPU), layout="native", dtype=FLOAT32)
    return str(folder)


@pytest.fixture(scope="module")
def trained(native_base, table, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "out"
    train(score_stage(table, output, base=native_base, epochs=1))
    return output


def exported(output: Path, destination: Path, **options) -> ExportReport:
    return run(ExportConfig(run=str(output), destination=str(destination), device="cpu", **options), Console())


def logits(model: torch.nn.Module, base: str) -> torch.Tensor:
    spec = read_spec(find_checkpoint(base))
    return first_logits(
        model, spec.template.token_ids(spec.tokenizer, STRATEGIES["ordered_100"].question), fixed_images()
    )


def test_peft_reads_adapters_that_answer_as_the_merged_model(trained, native_base, tmp_path):
    report = exported(trained, tmp_path / "adapters", adapters=True)
    base = InternVLForConditionalGeneration.from_pretrained(native_base, dtype=FLOAT32).eval()
    before = logits(base, native_base)
    adapted = PeftModel.from_pretrained(base, report.model).eval()
    assert adapted.peft_config["default"].base_model_name_or_path == native_base
    merged = load_network(find_checkpoint(str(trained / "model")), dtype=FLOAT32, device=CPU).model
    found, expected = logits(adapted, native_base), logits(merged, native_base)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - before).abs().max() > 0.01
    assert (report.layout, report.dtype) == ("adapters", "float32")


def test_a_directory_of_adapters_has_what_was_trained_and_its_card(trained, tmp_path):
    exported(trained, tmp_path / "adapters", adapters=True)
    names = load_file(tmp_path / "adapters" / "adapter_model.safetensors").keys()
    assert {name.split(".")[3] for name in names} == {"language_model", "vision_tower", "multi_modal_projector"}
    assert {path.name for path in (tmp_path / "adapters").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("README.md", "training.png", "train_config.json"),
    }
    assert "PeftModel.from_pretrained" in (tmp_path / "adapters" / "README.md").read_text()


def test_a_run_of_the_language_model_alone_has_adapters_alone(native_base, table, tmp_path):
    train(score_stage(table, tmp_path / "out", base=native_base, epochs=1, train=("language",)))
    exported(tmp_path / "out", tmp_path / "adapters", adapters=True)
    names = load_file(tmp_path / "adapters" / "adapter_model.safetensors").keys()
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)


def test_adapters_of_a_run_without_them_are_refused(table, tmp_path):
    train(score_stage(table, tmp_path / "full", epochs=1, language_model="full"))
    with pytest.raises(BadInput, match="the run has no adapters of the language model; leave it out"):
        exported(tmp_path / "full", tmp_path / "x", adapters=True)
    assert not (tmp_path / "x").exists()


def test_adapters_with_new_tokens_are_refused(table, tmp_path):
    train(score_stage(table, tmp_path / "new", epochs=1, strategy="expanded_25"))
    with pytest.raises(BadInput, match="--strategy expanded_25 adds tokens"):
        exported(tmp_path / "new", tmp_path / "x", adapters=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merged_weights_have_the_precision_that_is_asked_for(trained, tmp_path, dtype):
    report = exported(trained, tmp_path / "model", dtype=dtype)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {f"torch.{dtype}"}
    assert report.dtype == dtype
    for name, weight in load_file(trained / "model" / "model.safetensors").items():
        assert torch.equal(weights[name], weight.to(weights[name].dtype))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--to", "official"], "--to official"), (["--dtype", "bfloat16"], "--dtype bfloat16")],
)
def test_options_that_adapters_have_no_use_for_are_refused(capsys, options, complaint):
    assert main(["export", "run", "destination", "--adapters", *options]) == 2
    assert complaint in capsys.readouterr().err
