"""Finished score tables with any rows, without a run."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artimuse.curation.selection import Selection
from artimuse.curation.tables import ScoreTable, find_tables
from artimuse.io.folder import Folder
from artimuse.table.parts import write_rows
from artimuse.table.record import RUN_FILE
from artimuse.table.schema import score_schema
from tests.table.score_rows import VALUES, record

NO_COLUMNS = pa.schema([])
ROWS_PER_SHARD = 10


def write_table(
    location: Path | str,
    rows: Sequence[Mapping[str, Any]],
    *,
    passthrough: pa.Schema = NO_COLUMNS,
    with_metadata: bool = False,
) -> Folder:
    """The output of a run on these rows, numbered in their order; a row whose score is None has failed.

    What a row does not say is filled in: `image_id` is `N.jpg`, the file is like no other, the distribution is even.
    """
    output = Folder.at(str(location))
    schema = score_schema(VALUES, passthrough, with_metadata=with_metadata)
    whole = [full_row(number, row) for number, row in enumerate(rows)]
    for first in range(0, len(rows), ROWS_PER_SHARD):
        shard = [dict.fromkeys(schema.names) | row for row in whole[first : first + ROWS_PER_SHARD]]
        write_rows(output, pa.Table.from_pylist(shard, schema=schema), rows_per_shard=ROWS_PER_SHARD)
    RUN_FILE.write(output, record(num_rows=len(rows), rows_per_shard=ROWS_PER_SHARD, status="finished"))
    return output


def full_row(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    failed = row.get("score", 50.0) is None
    return {
        "row_number": number,
        "image_id": f"{number}.jpg",
        "uri": f"/photos/{number}.jpg",
        "status": "failed" if failed else "ok",
        "error_code": "not_found" if failed else None,
        "score": 50.0,
        "score_std": None if failed else 10.0,
        "score_probs": None if failed else np.full(len(VALUES), 1 / len(VALUES), np.float16),
        "sha256": None if failed else hashlib.sha256(str(number).encode()).hexdigest(),
        "phash": None if failed else number * 0x9E3779B97F4A7C15 % 2**64,
        "attempt": 1,
    } | row


def table_at(location: Path | str) -> ScoreTable:
    [table] = find_tables([str(location)])
    return table


def kept_rows(location: Path | str, *columns: str) -> list[tuple[Any, ...]]:
    """What a selection has kept: the table's name and the row's number, or other columns."""
    names = list(columns or ("table_name", "row_number"))
    batches = Selection.at(str(location)).batches(names)
    return [tuple(row[name] for name in names) for batch in batches for row in batch.to_pylist()]
