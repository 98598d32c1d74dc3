"""What every strategy must do: a strategy is tested by being listed in STRATEGIES."""

from typing import get_args

import numpy as np
import pytest

from artimuse.configs.engine import StrategyName
from artimuse.engines.fake import FakeImages
from artimuse.errors import BadCheckpoint
from artimuse.interfaces import FloatArray, ScoreStrategy
from artimuse.scoring import STRATEGIES
from artimuse.scoring.tokens import TokenStrategy

SCORES = np.linspace(0, 100, 1001)


@pytest.fixture(params=STRATEGIES)
def any_strategy(request: pytest.FixtureRequest) -> ScoreStrategy:
    return STRATEGIES[request.param]


@pytest.fixture(params=[name for name, strategy in STRATEGIES.items() if strategy.needs == "logits"])
def strategy(request: pytest.FixtureRequest) -> TokenStrategy:
    """Those that read a distribution over tokens."""
    strategy = STRATEGIES[request.param]
    assert isinstance(strategy, TokenStrategy)
    return strategy


def logits(strategy: TokenStrategy, num_images: int = 64, *, scale: float = 5.0) -> FloatArray:
    shape = (num_images, len(strategy.candidates))
    return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


class NoTokens:
    """A vocabulary of another model: none of the candidates is in it."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [0] * len(text)

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int | None]:
        return [None] * len(tokens)


def test_names_are_the_keys_and_what_the_command_line_offers():
    assert {name: strategy.name for name, strategy in STRATEGIES.items()} == {name: name for name in STRATEGIES}
    assert set(get_args(StrategyName)) == set(STRATEGIES)


def test_strategies_ask_for_different_things():
    asked = [(strategy.question, strategy.candidates) for strategy in STRATEGIES.values()]
    assert len(set(asked)) == len(asked)


def test_there_is_a_question(any_strategy):
    assert any_strategy.question.strip()


def test_images_that_are_asked_get_one_score_each(any_strategy):
    images = FakeImages(np.zeros((3, 8, 8, 3), dtype=np.uint8))
    scores = any_strategy.ask(images)
    for column in (scores.mean_B, scores.std_B, scores.entropy_B):
        assert column.shape == (3,)
        assert column.dtype == np.float32
    assert any_strategy.ask(FakeImages(np.zeros((0, 8, 8, 3), dtype=np.uint8))).mean_B.shape == (0,)


def test_an_image_without_a_score_has_a_problem(any_strategy):
    scores = any_strategy.ask(FakeImages(np.zeros((3, 8, 8, 3), dtype=np.uint8)))
    assert [problem is not None for problem in scores.problems_B or [None] * 3] == np.isnan(scores.mean_B).tolist()


def test_candidates_are_distinct_tokens_without_spaces(strategy):
    assert len(set(strategy.candidates)) == len(strategy.candidates) > 1
    assert all(token and not any(letter.isspace() for letter in token) for token in strategy.candidates)
    assert set(strategy.new_tokens) <= set(strategy.candidates)


def test_values_rise_over_the_whole_scale_one_per_candidate(strategy):
    values = strategy.values_K
    assert values.dtype == np.float32
    assert values.shape == (len(strategy.candidates),)
    assert (np.diff(values) > 0).all()
    assert (values[0], values[-1]) == (0, 100)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_distributions_stay_in_their_ranges(strategy, scale):
    scores = strategy.distribution(logits(strategy, scale=scale))
    for column in (scores.mean_B, scores.std_B, scores.entropy_B):
        assert column.dtype == np.float32
        assert column.shape == (64,)
        assert np.isfinite(column).all()
    assert ((scores.mean_B >= 0) & (scores.mean_B <= 100)).all()
    # No distribution on 0..100 is wider than half its mass at each end.
    assert ((scores.std_B >= 0) & (scores.std_B <= 50.001)).all()
    assert ((scores.entropy_B >= 0) & (scores.entropy_B <= np.log(len(strategy.candidates)) + 1e-4)).all()


def test_probabilities_sum_to_one_and_give_the_score(strategy):
    scores = strategy.distribution(logits(strategy))
    assert scores.probs_BK is not None
    assert scores.probs_BK.shape == (64, len(strategy.candidates))
    assert (scores.probs_BK >= 0).all()
    np.testing.assert_allclose(scores.probs_BK.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores.probs_BK @ strategy.values_K, scores.mean_B, atol=1e-3)


def test_a_certain_answer_is_its_value(strategy):
    certain = np.where(np.eye(len(strategy.candidates), dtype=bool), 1e3, -1e3).astype(np.float32)
    np.testing.assert_allclose(strategy.distribution(certain).mean_B, strategy.values_K, atol=1e-4)


def test_images_are_scored_independently(strategy):
    together = strategy.distribution(logits(strategy))
    alone = [strategy.distribution(row[None]).mean_B[0] for row in logits(strategy)]
    np.testing.assert_allclose(together.mean_B, alone, atol=1e-4)


def test_logits_are_left_as_they_were(strategy):
    given = logits(strategy)
    strategy.distribution(given)
    assert (given == logits(strategy)).all()


def test_no_images_have_no_scores(strategy):
    assert strategy.distribution(logits(strategy, 0)).mean_B.shape == (0,)


def test_logits_for_other_candidates_are_refused(strategy):
    with pytest.raises(ValueError, match=strategy.name):
        strategy.distribution(logits(strategy)[:, :-1])


def test_answers_are_candidates_near_the_score_and_rise_with_it(strategy):
    places = [strategy.candidates.index(strategy.answer(float(score))) for score in SCORES]
    assert (np.diff(places) >= 0).all()
    assert set(places) == set(range(len(strategy.candidates)))
    step = np.diff(strategy.values_K).max()
    assert (np.abs(strategy.values_K[places] - SCORES) <= step).all()


@pytest.mark.parametrize("score", [-0.001, 100.001, float("nan"), float("inf")])
def test_scores_off_the_scale_have_no_answer(any_strategy, score):
    with pytest.raises(ValueError, match=r"0\.\.100"):
        any_strategy.answer(score)


def test_a_vocabulary_without_the_candidates_is_refused(strategy):
    with pytest.raises(BadCheckpoint, match=strategy.name):
        strategy.check(NoTokens())
