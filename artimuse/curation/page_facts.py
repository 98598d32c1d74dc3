"""What the page about score tables shows, as numbers: aggregates of all rows, and a bounded number of single ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from artimuse.curation.near_duplicates import near_duplicates
from artimuse.curation.tables import identifier

NUM_EACH = 12
"""Images of a gallery of the best, of the worst and of the least sure."""
NUM_BANDS = 10
NUM_PER_BAND = 8
MOST_GROUPS = 20
"""Values of --by that are compared; the most frequent ones."""
NUM_EXAMPLES = 5
"""Failed images that are named for each error code."""
NEAR_DISTANCE = 6
"""Bits."""
MOST_HASHES = 100_000
"""Images among which near duplicates are looked for."""
MOST_TWIN_GROUPS = 8
MOST_TWINS = 6
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Hundredths of a point: quantiles of any number of rows from a histogram.
_BIN = 0.01

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFacts:
    """All scores are in points."""

    num_rows: int
    num_scored: int
    num_described: int
    histogram: list[Row]
    """`table_name`, `kind` (all or kept), `low` of a bin of one point, `count`."""
    quantiles: dict[str, dict[float, float]]
    """Table -> quantile -> score."""
    uncertainty: list[Row]
    """`score` and `score_std` of the lower edges of bins of 2 and 1 points, `count`."""
    groups: list[Row]
    """`value`, `count`, `mean` and the quantiles `q05` to `q95` of each value of --by; empty without it."""
    num_values: int
    """How many values --by has."""
    failures: list[Row]
    """`error_code`, `count`, `examples`: each `image_id`, `error`."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Some images, whose rows are fetched together."""

    title: str
    note: str
    places: tuple[tuple[str, int], ...]
    """table_name and row_number."""


def read_facts(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], by: str | None, *, has_selection: bool
) -> PageFacts:
    """Aggregates over the view `rows`; `shown` has the rows that a selection keeps, or all that have a score."""
    [(num_rows, num_scored, num_described)] = connection.execute(
        "SELECT count(*), count(score), count(texts_truncated) FROM rows"
    ).fetchall()
    groups, num_values = _groups(connection, by)
    return PageFacts(
        num_rows=num_rows,
        num_scored=num_scored,
        num_described=num_described,
        histogram=_histogram(connection, has_selection=has_selection),
        quantiles=_quantiles(connection, names),
        uncertainty=_rows(
            connection,
            """
            SELECT least(floor(score / 2) * 2, 98)::DOUBLE AS score, floor(score_std)::DOUBLE AS score_std,
                count(*) AS count
            FROM shown GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
        groups=groups,
        num_values=num_values,
        failures=_rows(
            connection,
            f"""
            SELECT error_code, count(*) AS count,
                min({{'row_number': row_number, 'image_id': image_id, 'error': error}}, {NUM_EXAMPLES}) AS examples
            FROM rows WHERE error_code IS NOT NULL GROUP BY error_code ORDER BY count DESC, error_code
            """,
        ),
    )


def galleries(connection: duckdb.DuckDBPyConnection, seed: int) -> list[Gallery]:
    """The images that the page shows, each in the order in which it shows them."""
    drawn = f"md5_number_lower(concat({seed}, ':', table_name, ':', row_number))"
    found = [
        _ordered(connection, "The best", "highest score first", "score DESC"),
        _ordered(connection, "The worst", "lowest score first", "score"),
        _ordered(connection, "The least sure", "widest distribution first", "score_std DESC"),
    ]
    width = 100 // NUM_BANDS
    rows = connection.execute(f"""
        SELECT band, table_name, row_number, count FROM (
            SELECT *, least(floor(score / {width}), {NUM_BANDS - 1})::INTEGER AS band,
                row_number() OVER (PARTITION BY band ORDER BY {drawn}) AS place,
                count(*) OVER (PARTITION BY band) AS count
            FROM (SELECT table_name, row_number, score FROM shown)
        ) WHERE place <= {NUM_PER_BAND} ORDER BY band DESC, score DESC
    """).fetchall()
    for band in dict.fromkeys(band for band, *_ in rows):
        members = tuple((name, number) for found_band, name, number, _ in rows if found_band == band)
        count = next(count for found_band, *_, count in rows if found_band == band)
        note = f"{count:,} images" if count > len(members) else "all of them"
        found.append(Gallery(f"{band * width} to {(band + 1) * width}", note, members))
    return [gallery for gallery in found if gallery.places]


def twin_galleries(connection: duckdb.DuckDBPyConnection, seed: int) -> tuple[list[Gallery], int, int]:
    """The largest groups of near duplicates; how many groups there are, among how many images."""
    rows = connection.sql(f"""
        SELECT table_name, row_number, phash FROM shown WHERE phash IS NOT NULL
        ORDER BY md5_number_lower(concat({seed}, ':', table_name, ':', row_number)) LIMIT {MOST_HASHES}
    """).to_arrow_table()
    if not len(rows):
        return [], 0, 0
    _, group, counts = np.unique(
        near_duplicates(rows["phash"].to_numpy(), NEAR_DISTANCE), return_inverse=True, return_counts=True
    )
    largest = [index for index in np.argsort(-counts, kind="stable")[:MOST_TWIN_GROUPS] if counts[index] > 1]
    found = []
    for index in largest:
        members = rows.take(np.flatnonzero(group == index)[:MOST_TWINS]).to_pylist()
        places = tuple((row["table_name"], row["row_number"]) for row in members)
        found.append(Gallery(f"{counts[index]:,} alike", "", places))
    return found, int((counts > 1).sum()), len(rows)


def image_rows(
    connection: duckdb.DuckDBPyConnection, places: Sequence[tuple[str, int]], relation: str = "rows"
) -> dict[tuple[str, int], Row]:
    """The whole rows of these images, which are all in the relation."""
    wanted: dict[str, list[int]] = {}
    for name, number in places:
        wanted.setdefault(name, []).append(number)
    found: dict[tuple[str, int], Row] = {}
    for name, numbers in wanted.items():
        # Numbers in the query, so that DuckDB reads only the files and row groups that may have them.
        listed = ", ".join(map(str, sorted(set(numbers))))
        rows = connection.execute(f"SELECT * FROM {relation} WHERE table_name = ? AND row_number IN ({listed})", [name])
        names = [column for column, *_ in rows.description or ()]
        for values in rows.fetchall():
            row = dict(zip(names, values))
            found[name, row["row_number"]] = row
    return found


def _ordered(connection: duckdb.DuckDBPyConnection, title: str, note: str, order: str) -> Gallery:
    places = connection.execute(
        f"SELECT table_name, row_number FROM shown ORDER BY {order}, table_name, row_number LIMIT {NUM_EACH}"
    ).fetchall()
    return Gallery(title, note, tuple(places))


def _histogram(connection: duckdb.DuckDBPyConnection, *, has_selection: bool) -> list[Row]:
    query = """
        SELECT table_name, '{kind}' AS kind, least(floor(score), 99)::INTEGER AS low, count(*) AS count
        FROM {relation} WHERE score IS NOT NULL GROUP BY ALL ORDER BY ALL
    """
    found = _rows(connection, query.format(kind="all", relation="rows"))
    if has_selection:
        found += _rows(connection, query.format(kind="kept", relation="shown"))
    return found


def _quantiles(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, dict[float, float]]:
    bins = _rows(
        connection,
        f"""
        SELECT table_name, round(score / {_BIN})::INTEGER AS bin, count(*) AS count
        FROM rows WHERE score IS NOT NULL GROUP BY ALL ORDER BY ALL
        """,
    )
    found = {}
    for name in names:
        values = np.array([row["bin"] * _BIN for row in bins if row["table_name"] == name])
        if not len(values):
            continue
        cumulative = np.cumsum([row["count"] for row in bins if row["table_name"] == name])
        places = np.searchsorted(cumulative, np.array(QUANTILES) * cumulative[-1])
        found[name] = {q: float(values[place]) for q, place in zip(QUANTILES, places)}
    return found


def _groups(connection: duckdb.DuckDBPyConnection, by: str | None) -> tuple[list[Row], int]:
    if by is None:
        return [], 0
    column = identifier(by)
    [(num_values,)] = connection.execute(f"SELECT count(DISTINCT {column}) FROM shown").fetchall()
    found = _rows(
        connection,
        f"""
        SELECT coalesce({column}::VARCHAR, 'none') AS value, count(*) AS count, avg(score)::DOUBLE AS mean,
            approx_quantile(score, 0.05)::DOUBLE AS q05, approx_quantile(score, 0.25)::DOUBLE AS q25,
            approx_quantile(score, 0.5)::DOUBLE AS q50, approx_quantile(score, 0.75)::DOUBLE AS q75,
            approx_quantile(score, 0.95)::DOUBLE AS q95
        FROM shown GROUP BY 1 ORDER BY count DESC, value LIMIT {MOST_GROUPS}
        """,
    )
    return sorted(found, key=lambda row: -row["mean"]), num_values


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.execute(query)
    names = [column for column, *_ in found.description or ()]
    return [dict(zip(names, values)) for values in found.fetchall()]
