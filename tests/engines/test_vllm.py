"""The vLLM engine against the built-in one, which is tested against the official code: `make test-vllm`."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.engine import EngineConfig
from artimuse.engines import open_engine
from artimuse.engines.transformers import TransformersEngine
from artimuse.engines.vllm import VllmEngine
from artimuse.errors import BadCheckpoint, EngineFailed
from artimuse.interfaces import Engine, Images, PixelArray, Text
from artimuse.model.find import find_checkpoint
from artimuse.prompts import attribute_question
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from tests.engines.test_transformers import decode_file
from tests.model.checkpoints import change_config, nano_weights, write_native

pytest.importorskip("vllm", reason="vLLM is not installed: `make test-vllm`")
from vllm import LLM
from vllm.v1.engine.llm_engine import LLMEngine

from artimuse.engines import vllm_network

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("vllm_on_cpu")]

STRATEGY = STRATEGIES["ordered_100"]
QUESTIONS = [attribute_question(attribute) for attribute in ATTRIBUTES]


def configured(model: str | Path, **changes: Any) -> EngineConfig:
    return EngineConfig(**{"name": "vllm", "model": str(model), "device": "cpu", "dtype": "float32"} | changes)


class Running:
    """vLLM runs once in a process: starting it for another model ends the one before, if no test holds that."""

    engine: VllmEngine | None = None
    config: EngineConfig | None = None

    def __call__(self, model: str | Path, **changes: Any) -> VllmEngine:
        config = configured(model, **changes)
        if config != self.config:
            self.stop()
            self.engine, self.config = VllmEngine(config), config
        assert self.engine is not None
        return self.engine

    def stop(self) -> None:
        self.engine = self.config = None


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def noise() -> PixelArray:
    return np.random.default_rng(0).integers(0, 256, (5, 448, 448, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["nano", "tiny", "tiny-lora"])
def model(request) -> str:
    """Native layout, official layout, and official layout with LoRA in several files."""
    if request.param == "nano":
        return "nano"
    return str(request.getfixturevalue("test_data") / "fixtures" / "official" / request.param)


@pytest.fixture(scope="module")
def pictures(test_data) -> PixelArray:
    paths = sorted((test_data / "fixtures" / "official" / "images").iterdir())
    return np.stack([decode_file(path) for path in paths])


def logits_of(engine: Engine, pixels_BHWC: PixelArray) -> np.ndarray:
    with engine.open(pixels_BHWC) as images:
        return images.logits(STRATEGY.question, STRATEGY.candidates)


def texts_of(engine: Engine, pixels_BHWC: PixelArray) -> list[list[Text]]:
    with engine.open(pixels_BHWC) as images:
        return ask(images, np.ones(len(pixels_BHWC), dtype=np.bool_))


def ask(images: Images, rows: np.ndarray) -> list[list[Text]]:
    return images.generate(QUESTIONS[:3], rows=rows, max_new_tokens=12)


def built_in(model: str | Path) -> TransformersEngine:
    return TransformersEngine(configured(model))


@pytest.mark.timeout(600)
def test_scores_and_texts_are_those_of_the_built_in_engine(running, model, pictures):
    logits, texts = [], []
    for start in (built_in, running):
        with start(model).open(pictures) as images:
            logits.append(images.logits(STRATEGY.question, STRATEGY.candidates))
            texts.append(images.generate(QUESTIONS, rows=np.ones(17, dtype=np.bool_), max_new_tokens=48))
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=1e-3)
    expected, scores = (STRATEGY.distribution(part).mean_B for part in logits)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-3)
    assert texts[1] == texts[0]


@pytest.mark.parametrize("variant", ["absent", "null", "empty", "custom"])
def test_each_kind_of_system_message_gives_the_official_prompt_and_scores(
    running, test_data, tmp_path, variant, monkeypatch
):
    official = test_data / "fixtures" / "official" / "tiny"
    wanted = json.loads((official / "expected.json").read_text(encoding="utf-8"))["system_message_variants"][variant]
    config = json.loads((official / "config.json").read_text(encoding="utf-8"))
    if variant != "absent":
        messages = {"null": None, "empty": "", "custom": "You are a strict photo critic."}
        config["system_message"] = messages[variant]
    shutil.copytree(official, tmp_path / "model", ignore=shutil.ignore_patterns("config.json"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    paths = [path for path in (official.parent / "images").iterdir() if path.name in wanted]
    prompts = []
    generate = LLM.generate

    def overheard(*arguments: Any, **options: Any) -> Any:
        outputs = generate(*arguments, **options)
        prompts.extend(output.prompt_token_ids for output in outputs)
        return outputs

    monkeypatch.setattr(LLM, "generate", overheard)
    logits_BK = logits_of(running(tmp_path / "model"), np.stack([decode_file(path) for path in paths]))
    assert prompts == [wanted["input_ids"]] * len(paths)
    scores_B = STRATEGY.distribution(logits_BK).mean_B
    np.testing.assert_allclose(scores_B, [wanted[path.name] for path in paths], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [name for name, strategy in STRATEGIES.items() if not strategy.new_tokens])
def test_every_strategy_scores_as_on_the_built_in_engine(running, noise, name):
    expected, scores = (Scorer(start("nano"), STRATEGIES[name]).score_pixels(noise) for start in (built_in, running))
    np.testing.assert_allclose(scores.mean_B, expected.mean_B, rtol=0, atol=1e-3)


def test_texts_are_the_same_before_and_after_scoring_and_for_some_of_the_images(running, noise):
    rows = np.array([True, False, False, True, True])
    with running("nano").open(noise) as images:
        before = ask(images, np.ones(5, dtype=np.bool_))
        images.logits(STRATEGY.question, STRATEGY.candidates)
        assert ask(images, rows) == [before[0], before[3], before[4]]
        assert images.generate([], rows=rows, max_new_tokens=4) == [[], [], []]


def test_an_image_is_encoded_once_for_all_questions_and_when_it_comes_again(running, noise, monkeypatch):
    encoded = []
    embed = vllm_network.ArtiMuseModel.embed_multimodal

    def counted(self: vllm_network.ArtiMuseModel, **fields: Any) -> Any:
        encoded.append(len(fields["pixels"]))
        return embed(self, **fields)

    monkeypatch.setattr(vllm_network.ArtiMuseModel, "embed_multimodal", counted)
    engine = running("nano", batch_size=64)  # one that has seen no image
    encoded.clear()
    logits, texts = logits_of(engine, noise), texts_of(engine, noise)
    assert sum(encoded) == 5
    np.testing.assert_allclose(logits_of(engine, noise[::-1])[::-1], logits, rtol=0, atol=1e-4)
    assert texts_of(engine, noise[::-1])[::-1] == texts
    assert sum(encoded) == 5


def test_equal_images_of_one_call_have_equal_answers_and_others_their_own(running, noise):
    logits_BK = logits_of(running("nano"), noise[[0, 1, 0]])
    np.testing.assert_allclose(logits_BK[2], logits_BK[0], rtol=0, atol=1e-4)
    assert not np.allclose(logits_BK[1], logits_BK[0], rtol=0, atol=1e-2)


def test_the_checkpoints_generation_config_is_not_inherited(running, tmp_path, noise):
    expected = texts_of(running("nano"), noise)
    shutil.copytree(find_checkpoint("nano").directory, tmp_path / "model")
    settings = {"eos_token_id": expected[0][0].token_ids[3], "do_sample": True, "repetition_penalty": 2.0}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert texts_of(running(tmp_path / "model"), noise) == expected


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_tied_output_layer_is_the_input_embeddings_unless_one_is_stored(running, tmp_path, noise, is_stored):
    weights = nano_weights()
    if not is_stored:
        del weights["lm_head.weight"]
    write_native(tmp_path, weights)
    change_config(tmp_path, tie_word_embeddings=True, text_config__tie_word_embeddings=True)
    expected, logits = (logits_of(start(tmp_path), noise) for start in (built_in, running))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-3)


def test_bfloat16_gives_nearly_the_same_scores_as_float32_logits(running, noise):
    expected = logits_of(running("nano"), noise)
    engine = running("nano", dtype="bfloat16")
    assert engine.precision == {"device": "cpu", "dtype": "bfloat16"}
    logits_BK = logits_of(engine, noise)
    # Computed in float32: of 101 logits rounded to bfloat16, several would coincide.
    assert len(np.unique(logits_BK[0])) == 101
    np.testing.assert_allclose(logits_BK, expected, rtol=0, atol=1)


def test_what_the_built_in_engine_refuses_is_refused_alike(running, tmp_path):
    running.stop()
    with pytest.raises(BadCheckpoint, match=r"lm_head\.weight is stored in bfloat16"):
        open_engine(configured("nano", dtype="float16"))
    shutil.copytree(find_checkpoint("nano").directory, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(BadCheckpoint, match="no weights"):
        open_engine(configured(tmp_path / "model"))


def test_why_vllm_does_not_start_is_one_line(running, monkeypatch, noise):
    running.stop()
    monkeypatch.setattr(vllm_network, "CPU_TOKENS", 128)
    with pytest.raises(EngineFailed, match=r"^vLLM does not start: No available memory for the cache blocks"):
        open_engine(configured("nano"))
    monkeypatch.undo()
    assert logits_of(running("nano"), noise).shape == (5, 101)


def test_nothing_listens_beyond_loopback(running):
    running("nano")
    sockets = psutil.Process().net_connections()
    assert {socket.laddr.ip for socket in sockets if socket.status == "LISTEN"} <= {"127.0.0.1", "::1"}


def test_a_second_engine_in_the_process_is_refused(running):
    running("nano")
    with pytest.raises(EngineFailed, match="runs once in a process"):
        open_engine(configured("nano"))


def test_after_an_interrupted_call_nothing_is_answered(running, noise, monkeypatch):
    engine = running("nano", batch_size=3)
    step = LLMEngine.step

    def interrupted(self: LLMEngine) -> Any:
        step(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LLMEngine, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            texts_of(engine, noise)
    with pytest.raises(EngineFailed, match="started again, it has failed with KeyboardInterrupt"):
        texts_of(engine, noise)
