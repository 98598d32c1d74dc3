"""Bootstrap intervals of means, from the sums of independent clusters."""

# C clusters or groups of clusters, R replicates
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Floats = NDArray[np.float64]

MAX_GROUPS = 10_000
"""More clusters than these are resampled in groups."""
NUM_REPLICATES = 10_000
CONFIDENCE = 0.95
_DRAWS_AT_A_TIME = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """What a mean is made of, in parts that are independent of each other.

    A part is a single pair, all pairs of a prompt, or a group of such clusters.
    """

    totals_C: Floats
    """Sum of the values of each."""
    counts_C: NDArray[np.int64]
    """Number of the values of each, 1 or more."""
    num_clusters: int
    """How many clusters there are, which may be in fewer groups."""

    @property
    def mean(self) -> float:
        return float(self.totals_C.sum() / self.counts_C.sum())

    def __neg__(self) -> "ClusterSums":
        return replace(self, totals_C=-self.totals_C)


def interval(
    samples: tuple[ClusterSums, ...], rng: np.random.Generator, *, num_replicates: int = NUM_REPLICATES
) -> tuple[float, float]:
    """The 95 % interval of the sum of the means of independent samples, in the unit of their values.

    One sample is that of paired differences; two, one of them negative, give the difference of two means. Whole
    clusters are drawn with replacement, so that values of one cluster are not taken for independent. The interval goes
    from the 2.5 % to the 97.5 % quantile of the replicates.

    A sample of at most `MAX_GROUPS` clusters is resampled exactly. Of a larger one the caller gives the sums of
    `MAX_GROUPS` groups, into which the clusters fall at random. Sums of different groups are as independent as the
    clusters, and all cumulants of a sum add up, so that resampling groups has the same variance and skewness in
    expectation; the width of the interval has a relative error of about 1 / sqrt(2 * MAX_GROUPS), which is 0.7 %.

    Quantiles of few clusters lie too close together: the plain bootstrap has the variance of C clusters without the
    factor C / (C - 1), and the normal distribution's tails in place of Student's. The replicates of each sample are
    spread about its mean by what both lack (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", 3.4).
    Raises ValueError if a sample has fewer than two clusters.
    """
    replicates_R = np.zeros(num_replicates)
    for sample in samples:
        replicates_R += _deviations(sample, rng, num_replicates)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates_R, [tail, 1 - tail]) + sum(sample.mean for sample in samples)
    return float(low), float(high)


def _deviations(sample: ClusterSums, rng: np.random.Generator, num_replicates: int) -> Floats:
    """How far the mean of each replicate is from that of the sample, widened for few clusters."""
    num_parts = len(sample.totals_C)
    if num_parts < 2:
        raise ValueError(f"{num_parts} clusters: a bootstrap needs at least 2")
    # About the mean, so that equal values deviate by exactly 0.
    excess_C = sample.totals_C - sample.mean * sample.counts_C
    deviations_R = np.empty(num_replicates)
    step = max(_DRAWS_AT_A_TIME // num_parts, 1)
    for begin in range(0, num_replicates, step):
        end = min(begin + step, num_replicates)
        drawn_RC = rng.integers(0, num_parts, (end - begin, num_parts), dtype=np.uint16)
        deviations_R[begin:end] = excess_C[drawn_RC].sum(axis=1) / sample.counts_C[drawn_RC].sum(axis=1)
    return deviations_R * _widening(num_parts)


def _widening(num_parts: int) -> float:
    tail = (1 - CONFIDENCE) / 2
    students_tail = stdtrit(num_parts - 1, tail) / ndtri(tail)
    return float(students_tail * np.sqrt(num_parts / (num_parts - 1)))
