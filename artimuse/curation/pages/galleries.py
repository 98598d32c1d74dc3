"""Images that a page shows together, and their rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from artimuse.curation.tables import ScoreTable, quoted, reader_of

Place = tuple[str, int]
"""table_name and row_number of an image."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Some images, in the order in which they are shown."""

    title: str
    num_images: int
    """From which these are."""
    places: tuple[Place, ...]


def image_rows(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[ScoreTable], places: Iterable[Place]
) -> dict[Place, Mapping[str, Any]]:
    """The whole rows of these images. Only the files that hold them are read."""
    wanted: dict[str, set[int]] = {}
    for name, number in places:
        wanted.setdefault(name, set()).add(number)
    found: dict[Place, Mapping[str, Any]] = {}
    for table in tables:
        numbers = wanted.get(table.name, set())
        shards = {number // table.record.plan.rows_per_shard for number in numbers}
        parts = [part for part in table.parts if int(part.partition("-")[0]) in shards]
        if not parts:
            continue
        # Numbers written out, so that DuckDB skips the row groups that have none of them.
        listed = ", ".join(map(str, sorted(numbers)))
        rows = connection.execute(
            f"SELECT {quoted(table.name)} AS table_name, * FROM {reader_of(connection, table, parts)}"
            f" WHERE row_number IN ({listed})"
        )
        names = [column for column, *_ in rows.description or ()]
        for values in rows.fetchall():
            row = dict(zip(names, values))
            found[table.name, row["row_number"]] = row
    return found
