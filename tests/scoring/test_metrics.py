import pytest

from artimuse.scoring.metrics import correlations


def test_ranks_and_values_are_correlated_each_in_its_way():
    srcc, plcc = correlations([1, 2, 3, 4], [1, 4, 9, 1000])
    assert srcc == pytest.approx(1)
    assert plcc == pytest.approx(0.7795, abs=1e-3)


@pytest.mark.parametrize(
    ("predicted", "true"), [([], []), ([1, 2], [1, 2]), ([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [7, 7, 7])]
)
def test_too_few_scores_or_one_score_everywhere_have_no_correlation(predicted, true):
    assert correlations(predicted, true) == (None, None)
