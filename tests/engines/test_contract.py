"""What every engine must do, by capability: an engine is tested by being listed in ENGINES."""

from typing import get_args

import numpy as np
import pytest

from artimuse.configs.engine import EngineConfig, EngineName
from artimuse.engines import ENGINES, engine_class, open_engine
from artimuse.interfaces import Capability, Engine
from artimuse.scoring import STRATEGIES

CANDIDATES = STRATEGIES["ordered_100"].candidates


def engines_with(capability: Capability) -> list[str]:
    return [name for name in ENGINES if capability in engine_class(name).capabilities]


def engines_with_a_vocabulary() -> list[str]:
    """An engine whose class has no tokenizer knows candidates by their place only."""
    return [name for name in engines_with("logits") if getattr(engine_class(name), "tokenizer", "loaded") is not None]


every_engine = pytest.mark.parametrize("engine", ENGINES, indirect=True)
with_logits = pytest.mark.parametrize("engine", engines_with("logits"), indirect=True)
with_vocabulary = pytest.mark.parametrize("engine", engines_with_a_vocabulary(), indirect=True)
with_texts = pytest.mark.parametrize("engine", engines_with("texts"), indirect=True)


@pytest.fixture(scope="module")
def engine(request) -> Engine:
    if request.param == "vllm":
        request.getfixturevalue("vllm_on_cpu")
    return open_engine(EngineConfig(name=request.param, model="nano", device="cpu", dtype="float32", batch_size=2))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return (
        np.random.default_rng(0).integers(0, 256, (5, 448, 448, 3), dtype=np.uint8)
        // np.arange(1, 6, dtype=np.uint8)[:, None, None, None]
    )


def test_names_are_what_the_command_line_offers():
    assert set(get_args(EngineName)) == set(ENGINES)


@every_engine
def test_an_engine_can_do_something(engine):
    assert engine.capabilities
    assert engine.capabilities <= set(get_args(Capability))


@with_logits
def test_logits_are_finite_float32_with_a_column_per_candidate(engine, pixels):
    with engine.open(pixels) as images:
        logits = images.logits("How good?", CANDIDATES)
    assert logits.shape == (5, 101)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@with_logits
def test_images_answer_alone_as_they_do_together(engine, pixels):
    with engine.open(pixels) as images:
        together = images.logits("How good?", CANDIDATES)
    for i in range(len(pixels)):
        with engine.open(pixels[i : i + 1]) as images:
            np.testing.assert_allclose(images.logits("How good?", CANDIDATES)[0], together[i], atol=1e-3)


@with_logits
def test_open_images_answer_several_questions(engine, pixels):
    with engine.open(pixels[:2]) as images:
        first = images.logits("How good?", CANDIDATES)
        images.logits("How bad?", CANDIDATES[:5])
        np.testing.assert_allclose(images.logits("How good?", CANDIDATES), first, atol=1e-5)


@with_logits
def test_no_images_have_no_logits(engine, pixels):
    with engine.open(pixels[:0]) as images:
        assert images.logits("How good?", CANDIDATES).shape == (0, 101)


@with_vocabulary
def test_candidates_keep_their_columns_in_any_order(engine, pixels):
    order = np.random.default_rng(1).permutation(101)
    with engine.open(pixels[:1]) as images:
        straight = images.logits("How good?", CANDIDATES)
        shuffled = images.logits("How good?", [CANDIDATES[i] for i in order])
    np.testing.assert_allclose(shuffled, straight[:, order], atol=1e-5)


@with_vocabulary
def test_the_published_strategy_fits_the_vocabulary(engine):
    STRATEGIES["ordered_100"].check(engine.tokenizer)


@with_logits
def test_pixels_are_left_as_they_were_even_if_read_only(engine, pixels):
    before = pixels.copy()
    before.flags.writeable = False
    with engine.open(before) as images:
        images.logits("How good?", CANDIDATES)
    assert (pixels == before).all()


@with_texts
def test_texts_come_for_the_selected_images_in_order(engine, pixels):
    questions = ["Describe it.", "Why?"]
    with engine.open(pixels) as images:
        everything = images.generate(questions, rows=np.ones(5, dtype=np.bool_), max_new_tokens=8)
        some = images.generate(questions, rows=np.array([True, False, True, False, False]), max_new_tokens=8)
        none = images.generate(questions, rows=np.zeros(5, dtype=np.bool_), max_new_tokens=8)
    assert [len(answers) for answers in everything] == [2] * 5
    assert some == [everything[0], everything[2]]
    assert none == []


@with_texts
def test_a_text_that_ends_at_the_limit_says_so(engine, pixels):
    with engine.open(pixels[:1]) as images:
        [[text]] = images.generate(["Describe it."], rows=np.ones(1, dtype=np.bool_), max_new_tokens=1)
    assert text.truncated
