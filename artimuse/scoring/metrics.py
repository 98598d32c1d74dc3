"""How well scores agree with labels: the paper's two correlations."""

# N scores
from collections.abc import Sequence

import numpy as np
from scipy.stats import pearsonr, spearmanr

LEAST_CORRELATED = 3
"""Fewer scores have no correlation worth the name."""


def correlations(predicted_N: Sequence[float], true_N: Sequence[float]) -> tuple[float | None, float | None]:
    """Spearman's rank correlation (SRCC) and Pearson's (PLCC), -1..1; None if there is no such thing.

    That is with fewer than `LEAST_CORRELATED` scores, or with the same one everywhere on either side.
    """
    if len(predicted_N) < LEAST_CORRELATED or np.ptp(predicted_N) == 0 or np.ptp(true_N) == 0:
        return None, None
    return float(spearmanr(predicted_N, true_N).statistic), float(pearsonr(predicted_N, true_N).statistic)
