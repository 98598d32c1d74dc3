"""What a selection does after --where, one step after the other.

A step judges the rows in the relation `kept`: for each it says in the column `stays` whether it is kept. The others go
to the relation `left_out` with the step's reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pyarrow as pa

from artimuse.configs.select import REST, SelectConfig
from artimuse.curation.near_duplicates import near_duplicates
from artimuse.curation.tables import identifier, own_column, quoted


def its(column: str) -> str:
    """A column of the tables in the relation `kept`, as SQL writes it. Without the prefix it could be one of ours."""
    return identifier(f"its_{column}")


BEST_FIRST = "score DESC, table_name, row_number"
"""Of images with the same score, those that come first in the tables."""
_SAME_BYTES = f"coalesce({its('sha256')}, {its('image_id')})"
_NOBODY = "NULL::VARCHAR AS duplicate_of, NULL::VARCHAR AS duplicate_of_table"


@dataclass(frozen=True, slots=True)
class Step:
    """One option of `artimuse select`."""

    reason: str
    """What is said of the rows that it drops."""
    columns: tuple[str, ...]
    """The columns of the tables that it looks at, beside table_name, row_number and score."""
    judged: Callable[[duckdb.DuckDBPyConnection], str]
    """The rows of `kept` in SQL, each with the columns `stays`, `duplicate_of` and `duplicate_of_table`."""


def steps_of(config: SelectConfig, connection: duckdb.DuckDBPyConnection) -> Iterator[Step]:
    """The steps that are asked for, in the order in which they are taken.

    Raises BadInput for a column that the tables lack.
    """
    if config.dedupe == "exact":
        yield Step("duplicate", ("sha256", "image_id"), lambda _: _first_of(_SAME_BYTES))
    if config.dedupe == "near":
        yield Step("near_duplicate", ("phash", "image_id"), lambda on: _near_duplicates(on, config.near_distance))
    if config.best_of is not None:
        column = own_column(connection, config.best_of, "--best-of")
        yield Step("not_among_the_best", (column,), lambda _: _best_of(column, config.keep))
    if config.quotas is not None:
        asked, counts = config.quotas
        quota_column = own_column(connection, asked, "--quota")
        yield Step("over_quota", (quota_column,), lambda _: _within_quota(quota_column, counts))
    if config.top is not None or config.top_percent is not None:
        per = None if config.per is None else own_column(connection, config.per, "--per")
        sql = _top(per, config.top, config.top_percent)
        yield Step("not_at_the_top", () if per is None else (per,), lambda _: sql)
    if config.sample is not None:
        size = config.sample
        yield Step("not_sampled", (), lambda on: _sampled(on, size, config.bands, config.seed))


def take(connection: duckdb.DuckDBPyConnection, step: Step) -> None:
    """Lets the step drop rows of `kept`."""
    connection.execute(f"CREATE TEMP TABLE judged AS {step.judged(connection)}")
    connection.execute(
        f"INSERT INTO left_out SELECT table_name, row_number, {quoted(step.reason)}, duplicate_of, duplicate_of_table"
        " FROM judged WHERE NOT stays"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept AS"
        " SELECT * EXCLUDE (stays, duplicate_of, duplicate_of_table) FROM judged WHERE stays"
    )
    connection.execute("DROP TABLE judged")


def _first_of(group: str, relation: str = "kept", without: str = "") -> str:
    """Of each group the best image stays, and the others name it."""
    return f"""
        SELECT *{without}, row_number() OVER best = 1 AS stays,
            CASE WHEN NOT stays THEN first_value({its("image_id")}) OVER best END AS duplicate_of,
            CASE WHEN NOT stays THEN first_value(table_name) OVER best END AS duplicate_of_table
        FROM {relation} WINDOW best AS (PARTITION BY {group} ORDER BY {BEST_FIRST})
    """


def _near_duplicates(connection: duckdb.DuckDBPyConnection, distance: int) -> str:
    rows = connection.sql(
        f"SELECT table_name, row_number, {its('phash')} AS phash FROM kept WHERE {its('phash')} IS NOT NULL"
    ).to_arrow_table()
    group = near_duplicates(rows["phash"].to_numpy(), distance)
    connection.register("grouped", rows.drop_columns("phash").append_column("phash_group", pa.array(group)))
    # An image without a hash is like no other: its group is a negative number of its own.
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE with_groups AS
        SELECT kept.*, coalesce(phash_group, -1 - kept.rowid) AS phash_group
        FROM kept LEFT JOIN grouped USING (table_name, row_number)
    """)
    connection.unregister("grouped")
    return _first_of("phash_group", "with_groups", " EXCLUDE (phash_group)")


def _best_of(column: str, count: int) -> str:
    """Images without a value are of no prompt, and so not the best of one."""
    name = f"nullif({its(column)}::VARCHAR, '')"
    return f"""
        SELECT *, {name} IS NOT NULL AND row_number() OVER (PARTITION BY {name} ORDER BY {BEST_FIRST}) <= {count}
            AS stays, {_NOBODY} FROM kept
    """


def _within_quota(column: str, counts: dict[str, int]) -> str:
    name = its(column)
    cases = " ".join(f"WHEN {quoted(value)} THEN {count}" for value, count in counts.items() if value != REST)
    allowed = f"CASE {name}::VARCHAR {cases} ELSE {counts.get(REST, 0)} END"
    if set(counts) == {REST}:
        allowed = str(counts[REST])
    return f"""
        SELECT *, row_number() OVER (PARTITION BY {name} ORDER BY {BEST_FIRST}) <= {allowed} AS stays, {_NOBODY}
        FROM kept
    """


def _top(per: str | None, count: int | None, percent: float | None) -> str:
    groups = "" if per is None else f"PARTITION BY {its(per)}"
    allowed = str(count)
    if percent is not None:
        # As a decimal: in binary 0.07 % of 10,000 is a little more than 7.
        allowed = f"ceil(count(*) OVER ({groups}) * {Decimal(str(percent)):f}::DECIMAL(18, 9) / 100)"
    return f"""
        SELECT *, row_number() OVER ({groups} ORDER BY {BEST_FIRST}) <= {allowed} AS stays, {_NOBODY} FROM kept
    """


def _sampled(connection: duckdb.DuckDBPyConnection, size: int, num_bands: int, seed: int) -> str:
    band = f"least(floor(score * {num_bands} / 100), {num_bands - 1})::INTEGER"
    counts = dict(connection.execute(f"SELECT {band}, count(*) FROM kept GROUP BY ALL").fetchall())
    shares = evenly([counts.get(number, 0) for number in range(num_bands)], size)
    allowed = " ".join(f"WHEN {number} THEN {share}" for number, share in enumerate(shares))
    # md5, because DuckDB's own hash may be another one in another version.
    chance = f"md5_number_lower(concat({seed}, ':', table_name, ':', row_number))"
    return f"""
        SELECT *, row_number() OVER (PARTITION BY {band} ORDER BY {chance}, {BEST_FIRST})
            <= CASE {band} {allowed} END AS stays, {_NOBODY} FROM kept
    """


def evenly(counts: list[int], size: int) -> list[int]:
    """How many of `size` each band gives: as many as the others, unless it has fewer.

    What cannot be divided goes to the highest bands.
    """
    shares = [0] * len(counts)
    left = min(size, sum(counts))
    while left:
        open_bands = [number for number, count in enumerate(counts) if shares[number] < count]
        share = max(1, left // len(open_bands))
        for number in reversed(open_bands):
            given = min(share, counts[number] - shares[number], left)
            shares[number] += given
            left -= given
    return shares
