"""Intervals of means against what is known of the samples. Everything is seeded."""

import numpy as np
import pytest

from artimuse.curation.compare.bootstrap import MAX_GROUPS, ClusterSums, interval

NUM_TRIALS = 400


def singles(values: np.ndarray) -> ClusterSums:
    """Each value independent of the others."""
    return ClusterSums(values, np.ones(len(values), dtype=np.int64), len(values))


def share_that_holds(draw, truth: float) -> float:
    """How many of the intervals of samples hold the true mean."""
    rng = np.random.default_rng(5)
    intervals = [interval(draw(rng), rng, num_replicates=1000) for _ in range(NUM_TRIALS)]
    return sum(low <= truth <= high for low, high in intervals) / NUM_TRIALS


@pytest.mark.parametrize("num_pairs", [3, 5, 10, 40, 200])
def test_about_95_percent_of_the_intervals_hold_the_mean_of_paired_differences(num_pairs):
    share = share_that_holds(lambda rng: (singles(rng.normal(2, 10, num_pairs)),), 2)
    assert 0.92 <= share <= 0.98


def test_also_of_skewed_differences():
    assert 0.9 <= share_that_holds(lambda rng: (singles(rng.exponential(3, 60)),), 3) <= 0.98


def test_about_95_percent_hold_the_difference_of_two_means():
    share = share_that_holds(lambda rng: (singles(rng.normal(52, 9, 70)), -singles(rng.normal(50, 20, 40))), 2)
    assert 0.92 <= share <= 0.98


def correlated_prompts(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differences of 1 to 12 images of each of 50 prompts, most of which is the prompt's; and the prompt of each."""
    counts = rng.integers(1, 13, 50)
    prompts = np.repeat(np.arange(50), counts)
    return rng.normal(1, 6, 50)[prompts] + rng.normal(0, 2, len(prompts)), prompts


def by_prompt(values: np.ndarray, prompts: np.ndarray) -> ClusterSums:
    return ClusterSums(np.bincount(prompts, values), np.bincount(prompts), 50)


def test_about_95_percent_hold_the_mean_where_images_of_a_prompt_are_alike():
    share = share_that_holds(lambda rng: (by_prompt(*correlated_prompts(rng)),), 1)
    assert 0.91 <= share <= 0.98


def test_without_clusters_such_images_would_give_intervals_that_are_far_too_narrow():
    assert share_that_holds(lambda rng: (singles(correlated_prompts(rng)[0]),), 1) < 0.75
    values, prompts = correlated_prompts(np.random.default_rng(0))
    wide = interval((by_prompt(values, prompts),), np.random.default_rng(0))
    narrow = interval((singles(values),), np.random.default_rng(0))
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_groups_of_many_clusters_give_the_interval_of_the_clusters():
    rng = np.random.default_rng(3)
    values, groups = rng.exponential(4, 60_000), rng.integers(0, MAX_GROUPS, 60_000)
    sums = ClusterSums(np.bincount(groups, values), np.bincount(groups), 60_000)
    half_width = 1.96 * values.std() / np.sqrt(60_000)
    low, high = interval((sums,), rng)
    assert (low, high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=0.08 * half_width)


def test_the_exact_bootstrap_of_two_values_is_widened_as_students_distribution_is():
    """Replicates are 0, 1 and 2 with shares of 1, 2 and 1 in 4, so that the plain interval is from 0 to 2."""
    low, high = interval((singles(np.array([0.0, 2.0])),), np.random.default_rng(0))
    widening = 12.7062 / 1.95996 * np.sqrt(2)
    assert (low, high) == pytest.approx((1 - widening, 1 + widening), abs=1e-3)


def test_equal_values_have_an_interval_without_width():
    assert interval((singles(np.zeros(30)),), np.random.default_rng(0)) == (0, 0)
    assert interval((singles(np.full(30, 0.1)),), np.random.default_rng(0)) == pytest.approx((0.1, 0.1))


def test_the_seed_decides():
    sums = singles(np.random.default_rng(1).normal(0, 1, 50))
    assert interval((sums,), np.random.default_rng(7)) == interval((sums,), np.random.default_rng(7))
    assert interval((sums,), np.random.default_rng(7)) != interval((sums,), np.random.default_rng(8))


def test_a_single_cluster_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        interval((singles(np.ones(1)),), np.random.default_rng(0))
