"""Finding an image_id that occurs twice among any number of rows, in bounded memory."""

from pathlib import Path

import duckdb

from artimuse.errors import BadInput

_MEMORY_LIMIT = "256MB"
_IDS_NAMED = 3
_ROWS_NAMED = 3
_IDS_COMPARED = 10_000

# Hashes first: grouping the ids themselves would keep every string.
_FIND_SUSPECTS = """
CREATE TEMP TABLE suspects AS
SELECT hash(image_id) AS id_hash, min(row_number) AS first_row FROM read_parquet($shards)
GROUP BY id_hash HAVING count(*) > 1
"""
# Two ids may share a hash, so the ids are compared; not millions of them, DuckDB's joins need memory for each.
_COMPARE_IDS = """
CREATE TEMP TABLE duplicates AS
SELECT image_id, min(row_number, $num_rows) AS row_numbers FROM read_parquet($shards)
WHERE hash(image_id) IN (SELECT id_hash FROM suspects ORDER BY first_row LIMIT $num_ids)
GROUP BY image_id HAVING count(*) > 1
"""


def refuse_duplicates(folder: Path) -> None:
    """Raises BadInput, naming ids and rows, if an image_id occurs twice in the plan shards of this folder.

    Ids are compared byte by byte: `A.jpg` and `a.jpg` are two. What does not fit in memory is spilled to the folder.
    """
    shards = {"shards": [str(path) for path in sorted(folder.glob("*.parquet"))]}
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
        "threads": 2,
    }
    with duckdb.connect(config=settings) as database:
        database.execute(_FIND_SUSPECTS, shards)
        num_suspects = _count(database, "suspects")
        if not num_suspects:
            return
        database.execute(_COMPARE_IDS, {**shards, "num_ids": _IDS_COMPARED, "num_rows": _ROWS_NAMED + 1})
        num_compared, num_found = min(num_suspects, _IDS_COMPARED), _count(database, "duplicates")
        if num_found:
            named = database.sql(f"FROM duplicates ORDER BY row_numbers LIMIT {_IDS_NAMED}").fetchall()
            raise BadInput(_message(num_suspects - num_compared + num_found, named))


def _count(database: duckdb.DuckDBPyConnection, table: str) -> int:
    [(num_rows,)] = database.table(table).count("*").fetchall()
    return int(num_rows)


def _message(num_duplicates: int, named: list[tuple[str, list[int]]]) -> str:
    subject = "1 image_id occurs" if num_duplicates == 1 else f"{num_duplicates} image_ids occur"
    listed = [f"{image_id!r} in rows {_listed(row_numbers, _ROWS_NAMED)}" for image_id, row_numbers in named]
    more = "; ..." if num_duplicates > len(named) else ""
    return (
        f"{subject} more than once (rows count from 0): {'; '.join(listed)}{more}. Each image needs an id of its own."
    )


def _listed(row_numbers: list[int], at_most: int) -> str:
    return ", ".join(map(str, row_numbers[:at_most])) + (", ..." if len(row_numbers) > at_most else "")
