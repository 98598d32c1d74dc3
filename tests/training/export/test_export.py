"""Exports of short runs, as models of their own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from artimuse.configs.engine import EngineConfig
from artimuse.configs.export import ExportConfig
from artimuse.configs.presets import paper_score_finetune
from artimuse.engines.exact import ExactEngine
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import BadCheckpoint, BadOutput, ExportFailed
from artimuse.interfaces import Engine, FloatArray
from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_spec
from artimuse.model.save import save_checkpoint
from artimuse.scoring import STRATEGIES
from artimuse.training.checkpoint import Checkpoints, load_weights
from artimuse.training.export.comparison import compare, fixed_images
from artimuse.training.export.export import export
from artimuse.training.export.export import run as export_run
from artimuse.training.network import TrainedNetwork, read_base
from artimuse.training.train import run
from tests.training.small import SMALL
from tests.training.tables import make_table

pytestmark = pytest.mark.timeout(240)

FLOAT32, CPU = torch.float32, torch.device("cpu")
MESSAGE = "You judge pictures."


@pytest.fixture(scope="module")
def official_base(tmp_path_factory) -> str:
    """nano in the layout of the published checkpoints, in float32."""
    folder = tmp_path_factory.mktemp("base") / "official"
    spec = read_spec(find_checkpoint("nano"))
    save_checkpoint(folder, spec, spec.weights(FLOAT32, CPU), layout="official", dtype=FLOAT32)
    return str(folder)


@pytest.fixture(scope="module")
def trained(official_base, tmp_path_factory) -> dict[int, Path]:
    """The same three steps under both ZeRO stages."""
    folder = tmp_path_factory.mktemp("trained")
    table = str(make_table(folder / "table"))
    for zero in (2, 3):
        config = paper_score_finetune(
            table,
            str(folder / str(zero)),
            **{**SMALL, "base": official_base, "epochs": 1, "zero": zero, "system_message": MESSAGE},
        )
        run(config, Console(stderr=True))
    return {zero: folder / str(zero) for zero in (2, 3)}


def config_of(output: Path):
    values = json.loads((output / "train.json").read_text())["config"]
    return paper_score_finetune(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name != "preset"
        }
    )


def trained_scores(output: Path) -> FloatArray:
    """Of the network as it was trained, adapters and all."""
    config = config_of(output)
    spec = read_base(config)
    network = TrainedNetwork(spec, config, dtype=FLOAT32, device=CPU)
    checkpoints = Checkpoints(Folder.at(str(output)))
    with checkpoints.tensors(checkpoints.read(checkpoints.best())) as tensors:
        load_weights(network, tensors)
    base = load_network(find_checkpoint(config.base), dtype=FLOAT32, device=CPU)
    merged = replace(base, model=network.model.eval(), template=spec.template)
    engine = ExactEngine(EngineConfig(model=config.base, device="cpu", dtype="float32"), merged)
    return scores(engine)


def scores(engine: Engine) -> FloatArray:
    with engine.open(fixed_images()) as images:
        return STRATEGIES["ordered_100"].ask(images).mean_B


def model_scores(model: Path | str) -> FloatArray:
    return scores(TransformersEngine(EngineConfig(model=str(model), device="cpu", dtype="float32")))


def test_an_export_of_an_official_base_scores_as_the_trained_network(trained, official_base):
    exported = model_scores(trained[2] / "model")
    np.testing.assert_allclose(exported, trained_scores(trained[2]), atol=1e-3)
    assert np.abs(exported - model_scores(official_base)).max() > 1


def test_exports_of_both_zero_stages_agree(trained):
    first, second = (load_file(trained[zero] / "model" / "model.safetensors") for zero in (2, 3))
    base = dict(read_spec(find_checkpoint("nano")).weights(FLOAT32, CPU))
    assert first.keys() == second.keys() == base.keys()
    for name, weight in first.items():
        # A step moves a weight by about 1e-3; where the gradient is nothing but rounding, Adam makes it a step too.
        torch.testing.assert_close(second[name], weight, rtol=1e-3, atol=5e-5)
    moved = {name for name, weight in first.items() if not torch.equal(weight, base[name])}
    adapted = {name for name in first if name.endswith("_proj.weight") and "language_model" in name}
    in_full = {name for name in first if "vision_tower" in name or "multi_modal_projector" in name}
    assert moved == adapted | in_full


def test_an_export_in_the_official_layout_is_read_back_with_the_same_scores(trained, tmp_path):
    report = export_run(
        ExportConfig(run=str(trained[2]), destination=str(tmp_path / "official"), to="official"), Console(stderr=True)
    )
    assert json.loads((tmp_path / "official" / "config.json").read_text())["architectures"] == ["InternVLChatModel"]
    np.testing.assert_allclose(model_scores(report.model), model_scores(trained[2] / "model"), atol=1e-3)
    assert report.comparison.points < 0.01
    for model in (report.model, str(trained[2] / "model")):
        assert read_spec(find_checkpoint(model)).template.system_message == MESSAGE
    num_layers = read_spec(find_checkpoint("nano")).config.get_text_config().num_hidden_layers
    assert report.num_adapters == 7 * num_layers


def test_the_card_says_what_it_is(trained):
    card = (trained[2] / "model" / "README.md").read_text()
    assert "grey: 20 images" in card
    assert "SRCC" in card
    assert f"| system message | {MESSAGE} |" in card
    assert (trained[2] / "model" / "training.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((trained[2] / "model" / "train_config.json").read_text())["config"]["lora_rank"] == 4


def test_an_export_goes_into_a_new_directory_only(trained):
    with pytest.raises(BadOutput, match="is not empty"):
        export(
            Folder.at(str(trained[2])), Folder.at(str(trained[2] / "model")), layout="native", step=None, device="cpu"
        )


def test_a_step_without_a_checkpoint_is_refused_with_those_that_are_there(trained, tmp_path):
    with pytest.raises(BadOutput, match="no checkpoint of step 2; there are 3"):
        export(Folder.at(str(trained[2])), Folder.at(str(tmp_path / "x")), layout="native", step=2, device="cpu")


def test_an_adapter_that_learnt_nothing_is_not_exported(trained, tmp_path):
    spoiled = spoil(trained[2], tmp_path, ".lora_B.default.weight", torch.zeros_like)
    with pytest.raises(ExportFailed, match=r"1 of \d+ trained tensors are as they were before training"):
        export(Folder.at(str(spoiled)), Folder.at(str(tmp_path / "x")), layout="native", step=None, device="cpu")
    assert not (tmp_path / "x").exists()


def test_a_tensor_that_did_not_move_is_not_exported(trained, official_base, tmp_path):
    name = "model.vision_tower.encoder.layer.0.attention.q_proj.weight"
    before = dict(read_spec(find_checkpoint(official_base)).weights(FLOAT32, CPU))[name]
    spoiled = spoil(trained[2], tmp_path, name, lambda _: before.clone())
    with pytest.raises(ExportFailed, match=r"before training \(model\.vision_tower\.encoder\.layer\.0"):
        export(Folder.at(str(spoiled)), Folder.at(str(tmp_path / "x")), layout="native", step=None, device="cpu")


def spoil(output: Path, folder: Path, ending: str, change) -> Path:
    """A copy of a run in whose checkpoint the first tensor of such a name is changed."""
    copy = folder / "spoiled"
    (copy / "checkpoints").mkdir(parents=True)
    (copy / "train.json").write_bytes((output / "train.json").read_bytes())
    is_changed = False
    for path in sorted((output / "checkpoints").iterdir()):
        if path.suffix == ".json":
            (copy / "checkpoints" / path.name).write_bytes(path.read_bytes())
            continue
        tensors = load_file(path)
        for name in sorted(tensors):
            if name.endswith(ending) and not is_changed:
                tensors[name] = change(tensors[name])
                is_changed = True
        save_file(tensors, copy / "checkpoints" / path.name)
    assert is_changed
    return copy


def test_a_base_that_has_changed_since_is_refused(trained, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained[2], copy)
    record = json.loads((copy / "train.json").read_text())
    (copy / "train.json").write_text(json.dumps({**record, "base_digest": "0" * 64}))
    with pytest.raises(BadCheckpoint, match="not the weights that"):
        export(Folder.at(str(copy)), Folder.at(str(tmp_path / "x")), layout="native", step=None, device="cpu")


def test_a_merge_that_answers_otherwise_is_noticed(trained):
    config = config_of(trained[2])
    spec = read_spec(find_checkpoint(config.base))
    untrained = TrainedNetwork(spec, config, dtype=FLOAT32, device=CPU)
    other = load_network(find_checkpoint(str(trained[2] / "model")), dtype=FLOAT32, device=CPU)
    with pytest.raises(ExportFailed, match="does not answer as the trained one"):
        compare(untrained, other, config)


def test_new_tokens_survive_training_export_and_both_layouts(tmp_path):
    table = str(make_table(tmp_path / "table"))
    config = paper_score_finetune(table, str(tmp_path / "out"), **{**SMALL, "epochs": 1, "strategy": "expanded_25"})
    run(config, Console(stderr=True))
    strategy = STRATEGIES["expanded_25"]
    base = read_spec(find_checkpoint("nano"))
    exported = tmp_path / "out" / "model"
    report = export(
        Folder.at(str(tmp_path / "out")), Folder.at(str(tmp_path / "x")), layout="official", step=None, device="cpu"
    )
    found = []
    for model in (str(exported), report.model):
        engine = TransformersEngine(EngineConfig(model=model, device="cpu", dtype="float32"))
        strategy.check(engine.tokenizer)
        assert len(engine.network.tokenizer) == len(base.tokenizer) + 26
        with engine.open(fixed_images()) as images:
            found.append(strategy.ask(images).mean_B)
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    weights = load_file(exported / "model.safetensors")
    for name in ("lm_head.weight", "model.language_model.embed_tokens.weight"):
        before = dict(base.weights(FLOAT32, CPU))[name]
        assert torch.equal(weights[name][: len(before)], before)
        assert not torch.equal(weights[name][-26], weights[name][-1])
