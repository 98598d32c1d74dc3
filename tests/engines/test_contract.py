"""What every engine must do, by capability: an engine is tested by being listed in ENGINES."""

import numpy as np
import pytest

from artimuse.configs import EngineConfig
from artimuse.engines import ENGINES, open_engine
from artimuse.interfaces import Engine
from artimuse.scoring import STRATEGIES

CANDIDATES = STRATEGIES["ordered_100"].candidates


@pytest.fixture(scope="module", params=ENGINES)
def engine(request) -> Engine:
    return open_engine(EngineConfig(name=request.param, model="nano", device="cpu", dtype="float32", batch_size=2))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return (
        np.random.default_rng(0).integers(0, 256, (5, 448, 448, 3), dtype=np.uint8)
        // np.arange(1, 6, dtype=np.uint8)[:, None, None, None]
    )


def test_an_engine_can_do_something(engine):
    assert engine.capabilities
    assert engine.capabilities <= {"logits", "texts"}


def test_logits_are_finite_float32_with_a_column_per_candidate(engine, pixels):
    with engine.open(pixels) as images:
        logits = images.logits("How good?", CANDIDATES)
    assert logits.shape == (5, 101)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_images_answer_alone_as_they_do_together(engine, pixels):
    with engine.open(pixels) as images:
        together = images.logits("How good?", CANDIDATES)
    for i in range(len(pixels)):
        with engine.open(pixels[i : i + 1]) as images:
            np.testing.assert_allclose(images.logits("How good?", CANDIDATES)[0], together[i], atol=1e-3)


def test_candidates_keep_their_columns_in_any_order(engine, pixels):
    order = np.random.default_rng(1).permutation(101)
    with engine.open(pixels[:1]) as images:
        straight = images.logits("How good?", CANDIDATES)
        shuffled = images.logits("How good?", [CANDIDATES[i] for i in order])
    if engine.tokenizer is None:
        pytest.skip("an engine without a vocabulary knows candidates by their place only")
    np.testing.assert_allclose(shuffled, straight[:, order], atol=1e-5)


def test_pixels_are_left_as_they_were(engine, pixels):
    before = pixels.copy()
    with engine.open(pixels) as images:
        images.logits("How good?", CANDIDATES)
    assert (pixels == before).all()


def test_texts_come_for_the_selected_images_in_order(engine, pixels):
    rows = np.array([True, False, True, False, False])
    if "texts" not in engine.capabilities:
        pytest.skip("no texts from this engine")
    with engine.open(pixels) as images:
        texts = images.generate(["Describe it.", "Why?"], rows=rows, max_new_tokens=8)
    assert [len(answers) for answers in texts] == [2, 2]
