"""Numbers about the units of a comparison, aggregated in DuckDB so that little enough is left for NumPy."""

# N images, V distinct values
import math
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from artimuse.curation.compare.bootstrap import MAX_GROUPS, ClusterSums
from artimuse.curation.compare.pairing import MICRO
from artimuse.scoring.metrics import LEAST_CORRELATED

PER_POINT = 1000
"""Distributions and ranks are of scores rounded to a thousandth of a point, so that they fit into memory."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each score occurs."""

    scores_V: NDArray[np.float64]
    """Points, ascending, in thousandths."""
    counts_V: NDArray[np.int64]
    width: float = 1 / PER_POINT
    """Of the bins, points."""

    @property
    def num_images(self) -> int:
        return int(self.counts_V.sum())

    @property
    def mean(self) -> float:
        return float(self.scores_V @ self.counts_V / self.num_images)

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        places = [(self.num_images - 1) // 2, self.num_images // 2]
        return float(self.scores_V[np.searchsorted(np.cumsum(self.counts_V), places, side="right")].mean())

    @property
    def standard_deviation(self) -> float:
        """Points. 0 for a single image."""
        squares = (self.scores_V - self.mean) ** 2 @ self.counts_V
        return float(np.sqrt(squares / max(self.num_images - 1, 1)))


@dataclass(frozen=True, slots=True)
class Shares:
    """How often B is better than A, 0..1; together 1."""

    better: float
    equal: float
    worse: float


def read_distribution(connection: duckdb.DuckDBPyConnection, rows: str) -> Distribution:
    """Of the scores of a view of rows. Empty if all have failed."""
    found = connection.execute(f"""
        SELECT round({PER_POINT} * score::DOUBLE)::INTEGER AS bin, count(*)::BIGINT AS num_images
        FROM {rows} WHERE score IS NOT NULL GROUP BY bin ORDER BY bin
    """).fetchnumpy()
    return Distribution(np.asarray(found["bin"]) / PER_POINT, np.asarray(found["num_images"]))


def read_cluster_sums(connection: duckdb.DuckDBPyConnection, relation: str) -> ClusterSums:
    """Sums in points of the column `value`, by `cluster`; of random groups of clusters if there are many.

    If all units are of one cluster, each is taken by itself.
    """
    for by in ("cluster", "unit"):
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE clusters AS
            SELECT {by} AS cluster, sum(value) AS total, count(*) AS num_values FROM {relation} GROUP BY {by}
        """)
        [(num_clusters,)] = connection.execute("SELECT count(*) FROM clusters").fetchall()
        if num_clusters > 1:
            break
    # A cluster is a digest: its remainder is as good as random, and the same in every version of DuckDB.
    group = "cluster" if num_clusters <= MAX_GROUPS else f"cluster % {MAX_GROUPS}"
    found = connection.execute(f"""
        SELECT sum(total)::DOUBLE AS total, sum(num_values)::BIGINT AS num_values
        FROM clusters GROUP BY {group} ORDER BY {group}
    """).fetchnumpy()
    connection.execute("DROP TABLE clusters")
    return ClusterSums(np.asarray(found["total"]) / MICRO, np.asarray(found["num_values"]), num_clusters)


def rank_correlation(connection: duckdb.DuckDBPyConnection) -> float | None:
    """Spearman's, of the two scores of each pair, -1..1; None where there is none, as in `scoring.metrics`."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP VIEW rounded AS
        SELECT round({PER_POINT} * score_a)::INTEGER AS a, round({PER_POINT} * score_b)::INTEGER AS b FROM paired
    """)
    [(num_pairs, *nums_distinct)] = connection.execute("""
        SELECT count(*), count(DISTINCT a), count(DISTINCT b) FROM rounded
    """).fetchall()
    if num_pairs < LEAST_CORRELATED or min(nums_distinct) < 2:
        return None
    # Equal scores share the mean of their ranks.
    ranks = ", ".join(
        f"ranks_{side} AS (SELECT {side}, sum(count(*)) OVER (ORDER BY {side}) - (count(*) - 1) / 2 AS rank"
        f" FROM rounded GROUP BY {side})"
        for side in "ab"
    )
    [(correlation,)] = connection.execute(f"""
        WITH {ranks} SELECT corr(ranks_a.rank, ranks_b.rank)
        FROM rounded JOIN ranks_a ON rounded.a = ranks_a.a JOIN ranks_b ON rounded.b = ranks_b.b
    """).fetchall()
    return float(correlation)


def read_differences(connection: duckdb.DuckDBPyConnection) -> Distribution:
    """Of the pairs, at the lower edges of bars for a plot, at most about 100 from the lowest to the highest."""
    [(lowest, highest, spread)] = connection.execute(
        f"SELECT min(value) / {MICRO}, max(value) / {MICRO}, stddev_pop(value) / {MICRO} FROM paired"
    ).fetchall()
    width = max(_round_number(spread / 4), _round_number((highest - lowest) / 100))
    found = connection.execute(f"""
        SELECT floor(value / {width * MICRO!r})::BIGINT AS bar, count(*)::BIGINT AS num_pairs
        FROM paired GROUP BY bar ORDER BY bar
    """).fetchnumpy()
    return Distribution(np.asarray(found["bar"]) * width, np.asarray(found["num_pairs"]), width)


def _round_number(value: float) -> float:
    """1, 2 or 5 times a power of ten, not less than the value and than a thousandth."""
    power = 10.0 ** math.floor(math.log10(max(value, 1 / PER_POINT)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def paired_shares(connection: duckdb.DuckDBPyConnection) -> Shares:
    """Of the pairs."""
    [counts] = connection.execute(
        "SELECT count(*) FILTER (value > 0), count(*) FILTER (value = 0), count(*) FILTER (value < 0) FROM paired"
    ).fetchall()
    return Shares(*(count / sum(counts) for count in counts))


def unpaired_shares(a: Distribution, b: Distribution) -> Shares:
    """Of all pairs that an image of A can make with an image of B."""
    cumulative_V = np.concatenate([[0], np.cumsum(a.counts_V)]) / a.num_images
    below_V = cumulative_V[np.searchsorted(a.scores_V, b.scores_V, side="left")]
    up_to_V = cumulative_V[np.searchsorted(a.scores_V, b.scores_V, side="right")]
    weights_V = b.counts_V / b.num_images
    shares = (below_V, up_to_V - below_V, 1 - up_to_V)
    return Shares(*(float(share_V @ weights_V) for share_V in shares))
