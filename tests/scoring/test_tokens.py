import hashlib
import math

import numpy as np
import pytest

from artimuse.errors import BadCheckpoint
from artimuse.prompts import SCORE_QUESTION
from artimuse.scoring import STRATEGIES
from artimuse.scoring.tokens import EXISTING_25, EXISTING_50, LEVELS_5, ORDERED_100, UNORDERED_100, TokenStrategy

TOKEN_STRATEGIES = [strategy for strategy in STRATEGIES.values() if isinstance(strategy, TokenStrategy)]


def test_score_question_is_byte_for_byte_the_official_one():
    # Hash of the string in the official evaluation code, commit 750d980.
    digest = "44add3d4d8e19034638648cf932161dde5dbc191851afac8e6d019cef7d5d6ad"
    assert hashlib.sha256(SCORE_QUESTION.encode()).hexdigest() == digest


def test_score_tokens_follow_paper_table_9():
    tokens = ORDERED_100.candidates
    assert len(tokens) == len(set(tokens)) == 101
    at = {0: "aa", 1: "ab", 25: "az", 26: "ca", 50: "cy", 51: "da", 75: "dy", 76: "ea", 99: "ex", 100: "ey"}
    assert {score: tokens[score] for score in at} == at


def test_unordered_tokens_follow_paper_table_8():
    tokens = UNORDERED_100.candidates
    at = {0: "0", 9: "9", 10: ":", 17: "A", 49: "a", 78: "~", 79: "¡", 90: "¬", 91: "®", 100: "·"}
    assert {score: tokens[score] for score in at} == at
    assert len(set(tokens)) == 101


@pytest.mark.parametrize(("strategy", "count", "step"), [(EXISTING_25, 26, 4), (EXISTING_50, 51, 2), (LEVELS_5, 5, 25)])
def test_coarser_strategies_cover_the_scale_in_even_steps(strategy, count, step):
    assert len(strategy.candidates) == count
    np.testing.assert_allclose(strategy.values_K, np.arange(0, 101, step))


def test_equal_logits_give_the_middle_of_the_scale_and_the_largest_entropy():
    scores = ORDERED_100.distribution(np.zeros((2, 101), np.float32))
    np.testing.assert_allclose(scores.mean_B, [50, 50], atol=1e-4)
    np.testing.assert_allclose(scores.entropy_B, math.log(101), rtol=1e-5)
    # Standard deviation of the discrete uniform distribution on 0..100.
    np.testing.assert_allclose(scores.std_B, math.sqrt((101**2 - 1) / 12), rtol=1e-5)


def test_a_certain_answer_has_its_own_value_no_spread_and_no_entropy():
    logits = np.full((1, 101), -1e4, np.float32)
    logits[0, 73] = 1e4
    scores = ORDERED_100.distribution(logits)
    assert (scores.mean_B[0], scores.std_B[0], scores.entropy_B[0]) == (73, 0, 0)


def test_distribution_agrees_with_float64_on_large_logits():
    logits = np.random.default_rng(0).normal(0, 30, (64, 101))
    scores = ORDERED_100.distribution(logits.astype(np.float32))
    logits = logits.astype(np.float32).astype(np.float64)
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    mean = probs @ np.arange(101)
    std = np.sqrt((probs * (np.arange(101) - mean[:, None]) ** 2).sum(1))
    np.testing.assert_allclose(scores.mean_B, mean, atol=1e-4)
    np.testing.assert_allclose(scores.std_B, std, atol=1e-3)


def test_an_image_scores_the_same_to_the_last_bit_in_any_batch():
    logits = np.random.default_rng(2).normal(0, 5, (33, 101)).astype(np.float32)
    together = ORDERED_100.distribution(logits)
    for size in (1, 2, 7, 32):
        alone = ORDERED_100.distribution(logits[:size])
        assert (alone.mean_B == together.mean_B[:size]).all()
        assert (alone.std_B == together.std_B[:size]).all()


def test_a_constant_added_to_the_logits_changes_nothing():
    logits = np.random.default_rng(1).normal(0, 5, (8, 101)).astype(np.float32)
    shifted = ORDERED_100.distribution(logits + 64)
    np.testing.assert_allclose(ORDERED_100.distribution(logits).mean_B, shifted.mean_B, atol=1e-3)


def test_logits_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 100\), expected \(B, 101\)"):
        ORDERED_100.distribution(np.zeros((1, 100), np.float32))


@pytest.mark.parametrize("strategy", TOKEN_STRATEGIES, ids=lambda strategy: strategy.name)
def test_the_answer_to_a_value_is_its_own_token_on_even_scales(strategy):
    if strategy.rounding == "nearest":
        answers = tuple(strategy.answer(float(value)) for value in strategy.values_K)
        assert answers == strategy.candidates


def test_scores_round_half_up():
    assert [ORDERED_100.answer(score) for score in (0.49, 0.5, 25.5, 99.5)] == ["aa", "ab", "ca", "ey"]


def test_levels_follow_equation_1_with_zero_counted_as_bad():
    levels = [LEVELS_5.answer(score).removeprefix("Ġ") for score in (0, 20, 20.01, 40, 60, 80, 80.01, 100)]
    assert levels == ["bad", "bad", "poor", "poor", "fair", "good", "excellent", "excellent"]


@pytest.mark.parametrize("score", [-0.1, 100.1, math.nan])
def test_answers_exist_for_0_to_100_only(score):
    with pytest.raises(ValueError, match="outside"):
        ORDERED_100.answer(score)


class LetterTokenizer:
    """Knows the tokens it is given; encodes a text to one id only if it is one of them."""

    def __init__(self, tokens, splits=()):
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.splits = splits

    def encode(self, text, *, add_special_tokens=True):
        return [0, 0] if text in self.splits else [self.ids[text]]

    def convert_tokens_to_ids(self, tokens):
        return [self.ids.get(token) for token in tokens]


def test_check_accepts_a_vocabulary_with_every_candidate():
    ORDERED_100.check(LetterTokenizer(ORDERED_100.candidates))


def test_check_names_the_missing_token():
    with pytest.raises(BadCheckpoint, match="no token 'dq'"):
        ORDERED_100.check(LetterTokenizer([t for t in ORDERED_100.candidates if t != "dq"]))


def test_check_refuses_a_candidate_that_is_encoded_as_two_tokens():
    with pytest.raises(BadCheckpoint, match="'cc' is not encoded as a single token"):
        ORDERED_100.check(LetterTokenizer(ORDERED_100.candidates, splits=("cc",)))


def test_check_refuses_candidates_that_share_an_id():
    tokenizer = LetterTokenizer(ORDERED_100.candidates)
    tokenizer.ids["ab"] = tokenizer.ids["aa"]
    with pytest.raises(BadCheckpoint, match="share one id"):
        ORDERED_100.check(tokenizer)


def test_a_strategy_with_more_tokens_than_values_cannot_be_made():
    with pytest.raises(ValueError, match="2 candidates for 3 values"):
        TokenStrategy(name="x", question="?", candidates=("a", "b"), values_K=np.zeros(3, np.float32))
