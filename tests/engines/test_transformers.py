import gc
import hashlib
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.engines.answers import candidate_ids
from artimuse.engines.exact import ExactEngine
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import BadCheckpoint, OutOfMemory
from artimuse.images.decode import DecodedImage, decode
from artimuse.interfaces import PixelArray
from artimuse.model.find import find_checkpoint
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES

STRATEGY = STRATEGIES["ordered_100"]


def make_engine(model: str | Path, **changes: Any) -> TransformersEngine:
    return TransformersEngine(EngineConfig(**{"model": str(model), "device": "cpu", "dtype": "float32"} | changes))


def decode_file(path: Path) -> PixelArray:
    decoded = decode(path.read_bytes(), DecodeLimits())
    assert isinstance(decoded, DecodedImage)
    return decoded.pixels_HWC


def logits_of(engine: TransformersEngine, pixels_BHWC: PixelArray) -> np.ndarray:
    with engine.open(pixels_BHWC) as images:
        return images.logits(STRATEGY.question, STRATEGY.candidates)


def scores_of(engine: TransformersEngine, pixels_BHWC: PixelArray) -> np.ndarray:
    return STRATEGY.distribution(logits_of(engine, pixels_BHWC)).mean_B


@pytest.fixture(scope="module")
def nano() -> TransformersEngine:
    return make_engine("nano")


@pytest.fixture(scope="module")
def pixels() -> PixelArray:
    return np.random.default_rng(0).integers(0, 256, (9, 448, 448, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["tiny", "tiny-lora"])
def official(request, test_data) -> Path:
    """A checkpoint with what the unmodified official code (commit 750d980, float32) computes on it."""
    return test_data / "fixtures" / "official" / request.param


@pytest.fixture(scope="module")
def expected(official) -> dict[str, Any]:
    return json.loads((official / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def official_pixels(official, expected) -> PixelArray:
    return np.stack([decode_file(official.parent / "images" / name) for name in expected["images"]])


def test_pixels_equal_the_official_ones(expected, official_pixels):
    assert len(official_pixels) == 17
    for pixels_HWC, image in zip(official_pixels, expected["images"].values()):
        assert hashlib.sha256(pixels_HWC.tobytes()).hexdigest() == image["resized_u8_sha256"]


def test_logits_and_scores_equal_the_official_ones(official, expected, official_pixels):
    engine = make_engine(official)
    STRATEGY.check(engine.tokenizer)
    assert candidate_ids(engine.tokenizer, STRATEGY.candidates) == expected["score_token_ids"]
    logits_BK = logits_of(engine, official_pixels)
    images = expected["images"].values()
    np.testing.assert_allclose(logits_BK, [image["logits101"] for image in images], rtol=0, atol=1e-3)
    scores_B = STRATEGY.distribution(logits_BK).mean_B
    np.testing.assert_allclose(scores_B, [image["score"] for image in images], rtol=0, atol=1e-3)


def test_batches_of_eight_and_of_one_give_equal_scores(official, official_pixels):
    one, eight = (scores_of(make_engine(official, batch_size=size), official_pixels) for size in (1, 8))
    np.testing.assert_allclose(eight, one, rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", ["absent", "null", "empty", "custom"])
def test_each_kind_of_system_message_gives_the_official_scores(official, expected, variant, tmp_path):
    wanted = expected["system_message_variants"][variant]
    config = json.loads((official / "config.json").read_text(encoding="utf-8"))
    if variant != "absent":
        messages = {"null": None, "empty": "", "custom": "You are a strict photo critic."}
        config["system_message"] = messages[variant]
    shutil.copytree(official, tmp_path / "model", ignore=shutil.ignore_patterns("config.json"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    engine = make_engine(tmp_path / "model")
    assert engine.network.template.prompt("").startswith(wanted["prompt_head"])
    assert engine.network.template.token_ids(engine.tokenizer, STRATEGY.question) == wanted["input_ids"]
    names = [name for name in wanted if name in expected["images"]]
    assert names
    pixels = np.stack([decode_file(official.parent / "images" / name) for name in names])
    np.testing.assert_allclose(scores_of(engine, pixels), [wanted[name] for name in names], rtol=0, atol=1e-3)


def test_sub_batches_do_not_change_logits(nano, pixels):
    together = logits_of(nano, pixels)
    alone = logits_of(make_engine("nano", batch_size=1), pixels)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


def test_one_open_answers_several_questions(nano, pixels):
    with nano.open(pixels[:2]) as images:
        for strategy in (each for each in STRATEGIES.values() if not each.new_tokens):
            assert images.logits(strategy.question, strategy.candidates).shape == (2, len(strategy.candidates))


def test_no_images_give_no_logits(nano, pixels):
    logits_BK = logits_of(nano, pixels[:0])
    assert logits_BK.shape == (0, 101)
    assert logits_BK.dtype == np.float32


def test_read_only_and_strided_pixels_are_taken(nano, pixels):
    read_only = pixels[:2].copy()
    read_only.flags.writeable = False
    straight = logits_of(nano, read_only)
    np.testing.assert_array_equal(logits_of(nano, np.repeat(read_only, 2, axis=0)[::2]), straight)


def test_auto_is_float32_on_the_cpu():
    engine = make_engine("nano", dtype="auto")
    assert engine.precision == {"device": "cpu", "dtype": "float32"}
    assert next(engine.network.model.parameters()).dtype == torch.float32


def test_bfloat16_gives_nearly_the_same_scores_as_float32_logits(nano, pixels):
    engine = make_engine("nano", dtype="bfloat16")
    assert engine.precision == {"device": "cpu", "dtype": "bfloat16"}
    logits_BK = logits_of(engine, pixels)
    assert logits_BK.dtype == np.float32
    # Computed in float32: of 101 logits rounded to bfloat16, several would coincide.
    assert len(np.unique(logits_BK[0])) == 101
    np.testing.assert_allclose(logits_BK, logits_of(nano, pixels), rtol=0, atol=1)


def test_float16_on_bfloat16_weights_is_refused():
    with pytest.raises(BadCheckpoint, match=r"model\.safetensors: lm_head\.weight is stored in bfloat16"):
        make_engine("nano", dtype="float16")


def test_unknown_candidate_is_refused(nano, pixels):
    with nano.open(pixels[:1]) as images, pytest.raises(ValueError, match="not in the vocabulary"):
        images.logits("How good?", ["aa", "no such token"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine_class", [ExactEngine, TransformersEngine])
def test_texts_and_token_ids_equal_the_official_ones(official, expected, official_pixels, engine_class):
    engine = engine_class(EngineConfig(model=str(official), device="cpu", dtype="float32"))
    questions = [attribute_question(attribute) for attribute in ATTRIBUTES]
    limit = int(expected["max_new_tokens"])
    with engine.open(official_pixels) as images:
        answers = images.generate(questions, rows=np.ones(17, dtype=np.bool_), max_new_tokens=limit)
    for texts, image in zip(answers, expected["images"].values(), strict=True):
        for text, attribute in zip(texts, ATTRIBUTES, strict=True):
            assert list(text.token_ids) == image["texts"][attribute.name]["token_ids"]
            assert text.text == image["texts"][attribute.name]["text"]
            assert text.truncated == (text.token_ids[-1] != expected["eos_token_id"])
    assert {text.truncated for texts in answers for text in texts} == {True, False}


@pytest.mark.parametrize("batch_size", [1, 3, 17])
def test_texts_are_the_same_before_and_after_scoring_and_in_any_batch(official, expected, official_pixels, batch_size):
    engine = make_engine(official, batch_size=batch_size)
    engine.generator.max_rows = 8 * batch_size
    questions = [attribute_question(attribute) for attribute in ATTRIBUTES[:3]]
    rows = np.arange(17) % 3 != 1
    with engine.open(official_pixels) as images:
        before = images.generate(questions, rows=rows, max_new_tokens=20)
        scores_B = STRATEGY.distribution(images.logits(STRATEGY.question, STRATEGY.candidates)).mean_B
        after = images.generate(questions, rows=rows, max_new_tokens=20)
    assert before == after
    wanted = [image for image, is_asked in zip(expected["images"].values(), rows) if is_asked]
    for texts, image in zip(before, wanted, strict=True):
        for text, attribute in zip(texts, ATTRIBUTES):
            assert list(text.token_ids) == image["texts"][attribute.name]["token_ids"][:20]
    np.testing.assert_allclose(scores_B, [image["score"] for image in expected["images"].values()], rtol=0, atol=1e-3)


def test_no_question_has_no_answer(nano, pixels):
    with nano.open(pixels[:2]) as images:
        assert images.generate([], rows=np.ones(2, dtype=np.bool_), max_new_tokens=4) == [[], []]


@pytest.mark.parametrize("stage", ["encode", "read_prompt", "generate"])
def test_out_of_memory_halves_the_batch_once_and_goes_on(nano, pixels, stage, monkeypatch, caplog):
    """The exception is torch's own; what it takes to get it here is not portable."""
    engine = make_engine("nano", batch_size=4)
    owner, name = (engine.generator, "answers") if stage == "generate" else (engine, stage)
    run, most = getattr(owner, name), engine.generator.max_rows

    def short_of_memory(*arguments: Any, **options: Any) -> Any:
        is_large = engine.generator.max_rows == most if stage == "generate" else len(arguments[-1]) > 2
        if is_large:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(*arguments, **options)

    monkeypatch.setattr(owner, name, short_of_memory)
    with engine.open(pixels) as images:
        logits_BK = images.logits(STRATEGY.question, STRATEGY.candidates)
        images.generate(["Why?"], rows=np.ones(9, dtype=np.bool_), max_new_tokens=2)
    np.testing.assert_allclose(logits_BK, logits_of(nano, pixels), rtol=0, atol=1e-4)
    assert engine.batch_size == 2
    assert [record.message for record in caplog.records] == [
        "out of memory, going on with half the images at a time batch_size=2"
    ]


def test_out_of_memory_a_second_time_is_an_error(pixels, monkeypatch):
    engine = make_engine("nano", batch_size=4)

    def short_of_memory(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "encode", short_of_memory)
    with pytest.raises(OutOfMemory, match="no memory for 2 images at a time"), engine.open(pixels):
        pass
    assert engine.batch_size == 2


def test_another_error_does_not_halve_the_batch(pixels, monkeypatch):
    engine = make_engine("nano", batch_size=4)

    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(engine, "encode", broken)
    with pytest.raises(RuntimeError, match="multiplied"), engine.open(pixels):
        pass
    assert engine.batch_size == 4


def test_nothing_is_kept_after_images_are_closed(nano, pixels):
    with nano.open(pixels[:2]) as images:
        images.logits(STRATEGY.question, STRATEGY.candidates)
        kept = [
            weakref.ref(tensor) for batch in images.batches for tensor in (batch.embeddings_BND, batch.prefix.keys[0])
        ]
    assert len(kept) == 2
    gc.collect()
    assert [tensor() for tensor in kept] == [None, None]


def test_cuda_without_a_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="no CUDA device"):
        make_engine("nano", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_in_float32_equals_the_cpu(nano, pixels):
    engine = make_engine("nano", device="cuda")
    np.testing.assert_allclose(logits_of(engine, pixels), logits_of(nano, pixels), rtol=0, atol=1e-2)
    assert make_engine("nano", device="auto", dtype="auto").precision == {"device": "cuda", "dtype": "bfloat16"}


def test_model_name_is_resolved(nano):
    assert nano.network.checkpoint == find_checkpoint("nano")
