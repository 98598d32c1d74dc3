"""What the page says of all rows: aggregates that DuckDB streams, of narrow columns only.

They look at two relations: `rows` has all rows, `shown` those with a score that the selection keeps, if there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from artimuse.curation.tables import identifier
from artimuse.table.facts import BINS_PER_POINT, NUM_BINS, score_quantiles

MOST_POINTS = 1500
"""More images than this are shown as squares of a grid, no longer as points."""
SCORE_STEP, STD_STEP = 2, 1
"""Sides of a square, points."""
MOST_VALUES = 20
"""Values of --by that are compared."""
MOST_EXAMPLES = 5
"""Failed images that are named for each error code."""
NO_VALUE = "(no value)"

Row = dict[str, Any]
# Rows in each hundredth of a point.
Histogram = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The rows of one table."""

    num_rows: int
    num_scored: int
    num_described: int
    scores: Histogram
    kept: Histogram | None
    """Of the rows that the selection keeps; None without a selection."""

    @property
    def quantiles(self) -> Mapping[str, float]:
        return score_quantiles(self.scores)


@dataclass(frozen=True, slots=True)
class Group:
    """The images with one value of --by."""

    value: str | None
    """None for images that have none."""
    count: int
    mean: float
    quantiles: Mapping[str, float]

    @property
    def label(self) -> str:
        """Of the value; two values may have one."""
        return NO_VALUE if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class Groups:
    """The most frequent values of --by, the best mean first."""

    by: str
    num_values: int
    """All that there are."""
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The images with one error code."""

    code: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """image_id and what is wrong."""


def read_tables(connection: duckdb.DuckDBPyConnection, names: list[str], *, has_selection: bool) -> list[TableFacts]:
    """Facts of the tables, in the order of the names."""
    counts = connection.execute(
        "SELECT table_name, count(*), count(score), count(texts_truncated) FROM rows GROUP BY table_name"
    ).fetchall()
    counted = {name: (num_rows, num_scored, num_described) for name, num_rows, num_scored, num_described in counts}
    scores = _histograms(connection, "rows", "table_name")
    kept = _histograms(connection, "shown", "table_name") if has_selection else {}
    nothing = np.zeros(NUM_BINS, dtype=np.int64)
    return [
        TableFacts(*counted[name], scores.get(name, nothing), kept.get(name, nothing) if has_selection else None)
        for name in names
    ]


def bars(histogram: Histogram, width: int) -> list[int]:
    """Rows in each so many points, of which 100 is a multiple. A score of 100 is in the last bar."""
    sums = histogram[:-1].reshape(-1, width * BINS_PER_POINT).sum(axis=1)
    sums[-1] += histogram[-1]
    counts: list[int] = sums.tolist()
    return counts


def read_uncertainty(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """`score` and `score_std` of each image, or of the lower left corner of each square with the `count` in it."""
    points = "SELECT score::DOUBLE AS score, score_std::DOUBLE AS score_std FROM shown WHERE score_std IS NOT NULL"
    few = _rows(connection, f"{points} LIMIT {MOST_POINTS + 1}")
    if len(few) <= MOST_POINTS:
        return sorted(few, key=lambda row: (row["score"], row["score_std"]))
    return _rows(
        connection,
        f"""
        SELECT least(floor(score / {SCORE_STEP}) * {SCORE_STEP}, {100 - SCORE_STEP}) AS score,
            floor(score_std / {STD_STEP}) * {STD_STEP} AS score_std, count(*) AS count
        FROM ({points}) GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )


def read_groups(connection: duckdb.DuckDBPyConnection, by: str) -> Groups:
    """`by` is a column of the tables."""
    value = f"{identifier(by)}::VARCHAR"
    [(num_values,)] = connection.execute(f"SELECT count(*) FROM (SELECT {value} FROM shown GROUP BY 1)").fetchall()
    # The scores of the most frequent values only: a column of prompts may have as many values as rows.
    connection.execute(f"""
        CREATE TEMP TABLE frequent AS
        SELECT {value} AS value, avg(score)::DOUBLE AS mean FROM shown GROUP BY 1 ORDER BY count(*) DESC, 1
        LIMIT {MOST_VALUES}
    """)
    means = connection.execute("SELECT value, mean FROM frequent ORDER BY mean DESC, value").fetchall()
    relation = f"""
        (SELECT frequent.value AS value, shown.score AS score
        FROM shown JOIN frequent ON shown.{value} IS NOT DISTINCT FROM frequent.value)
    """
    histograms = _histograms(connection, relation, "value")
    return Groups(
        by,
        num_values,
        tuple(
            Group(value, int(histograms[value].sum()), mean, score_quantiles(histograms[value]))
            for value, mean in means
        ),
    )


def read_failures(connection: duckdb.DuckDBPyConnection) -> list[Failure]:
    """The most frequent code first."""
    rows = connection.execute(f"""
        SELECT error_code, count(*),
            min({{'row_number': row_number, 'image_id': image_id, 'error': coalesce(error, '')}}, {MOST_EXAMPLES})
        FROM rows WHERE error_code IS NOT NULL GROUP BY error_code ORDER BY count(*) DESC, error_code
    """).fetchall()
    return [
        Failure(code, count, tuple((example["image_id"], example["error"]) for example in examples))
        for code, count, examples in rows
    ]


def _histograms(connection: duckdb.DuckDBPyConnection, relation: str, key: str) -> dict[str | None, Histogram]:
    found: dict[str | None, Histogram] = {}
    for name, place, count in connection.execute(
        f"SELECT {key}, round(score * {BINS_PER_POINT})::INTEGER AS place, count(*) FROM {relation}"
        " WHERE score IS NOT NULL GROUP BY ALL"
    ).fetchall():
        found.setdefault(name, np.zeros(NUM_BINS, dtype=np.int64))[place] = count
    return found


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.execute(query)
    names = [column for column, *_ in found.description or ()]
    return [dict(zip(names, values)) for values in found.fetchall()]
