"""Scores: from several parameters, none of which tells it alone, with a little noise."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from artimuse.scenes.parameters import choose_scene
from artimuse.scenes.score import WEIGHTS, annotated_score, merits, true_score


@pytest.fixture(scope="module")
def scores(scenes) -> np.ndarray:
    return np.array([annotated_score(scene) for scene in scenes])


def test_a_scene_has_the_same_score_always():
    assert annotated_score(choose_scene(4)) == annotated_score(choose_scene(4))


def test_every_merit_has_a_weight_and_is_between_0_and_1(scenes):
    for scene in scenes:
        worth = merits(scene)
        assert worth.keys() == WEIGHTS.keys()
        assert all(0 <= value <= 1 for value in worth.values())


def test_at_least_five_parameters_matter_and_none_tells_the_score(scenes, scores):
    correlations = {name: spearmanr([merits(scene)[name] for scene in scenes], scores).statistic for name in WEIGHTS}
    assert sum(correlation > 0.25 for correlation in correlations.values()) >= 5
    assert max(correlations.values()) < 0.6


@pytest.mark.parametrize(
    "name", ["x", "y", "radius", "tilt_deg", "hue_deg", "hue_step_deg", "contrast", "exposure_stops", "blur",
             "num_distractors", "off_third"]
)  # fmt: skip
def test_no_parameter_tells_the_score_by_its_value(scenes, scores, name):
    assert abs(spearmanr([getattr(scene, name) for scene in scenes], scores).statistic) < 0.6


def test_scores_use_the_whole_range_evenly(scores):
    assert 0 <= scores.min() < 5
    assert 95 < scores.max() <= 100
    tenths, _ = np.histogram(scores, bins=10, range=(0, 100))
    assert tenths.min() > 0.05 * len(scores)
    assert tenths.max() < 0.15 * len(scores)


def test_annotators_agree_with_the_truth_but_not_quite(scenes, scores):
    assert 0.98 < spearmanr(scores, [true_score(scene) for scene in scenes]).statistic < 0.99
