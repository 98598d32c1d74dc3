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

from artimuse.configs import EngineConfig
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import BadCheckpoint
from artimuse.images import DecodedImage, DecodeLimits, decode
from artimuse.interfaces import PixelArray
from artimuse.model.find import find_checkpoint
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
    assert engine.candidate_ids(STRATEGY.candidates) == expected["score_token_ids"]
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
        for strategy in STRATEGIES.values():
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


def test_texts_are_not_claimed(nano, pixels):
    assert nano.capabilities == {"logits"}
    with nano.open(pixels[:1]) as images, pytest.raises(NotImplementedError):
        images.generate(["Why?"], rows=np.array([True]), max_new_tokens=1)


def test_nothing_is_kept_after_images_are_closed(nano, pixels):
    with nano.open(pixels[:2]) as images:
        images.logits(STRATEGY.question, STRATEGY.candidates)
        embeddings = [weakref.ref(part) for part in images.embeddings]
    assert images.embeddings == []
    gc.collect()
    assert [part() for part in embeddings] == [None]


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
