"""Rows of a score table, and plan and run.json as a run writes them, for tests of sinks."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from artimuse.io.folder import Folder
from artimuse.io.stores import open_store
from artimuse.table.plan import shard_name
from artimuse.table.record import read_run, write_run
from artimuse.table.schema import IMAGE_ID, ROW_NUMBER, URI, score_schema

VALUES = np.linspace(0, 100, 5, dtype=np.float32)
FINGERPRINTS = {"plan": {"input": "/photos"}, "score": {"weights": "abc", "strategy": "levels_5", "dtype": "float32"}}


def filesystem_of(output: Folder) -> AbstractFileSystem:
    """To look at an output past our own code."""
    return open_store(output.root)[0].filesystem


def score_rows(
    row_numbers: Iterable[int],
    *,
    score: float | None = 50.0,
    code: str | None = None,
    attempt: int = 1,
    text: str | None = None,
) -> pa.Table:
    """Rows with these numbers, failed if there is an error code or no score; described if there is a text."""
    if score is None:
        code = code or "not_found"
    rows = [
        {
            "row_number": number,
            "image_id": f"{number}.jpg",
            "uri": f"/photos/{number}.jpg",
            "status": "failed" if code else "ok",
            "error_code": code,
            "score": None if code else score,
            "overall_gestalt": text,
            "texts_truncated": None if text is None else 0,
            "attempt": attempt,
        }
        for number in row_numbers
    ]
    schema = score_schema(VALUES, pa.schema([]))
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema)


def begin_run(output: Folder, *, num_rows: int, rows_per_shard: int = 10, status: str = "running") -> None:
    plan = {
        "num_rows": num_rows,
        "num_shards": -(-num_rows // rows_per_shard),
        "rows_per_shard": rows_per_shard,
    }
    write_run(output, {"status": status, "fingerprints": FINGERPRINTS, "plan": plan})


def end_run(output: Folder, *, num_rows: int, errors: dict[str, int], rows_per_shard: int = 10) -> None:
    """run.json as a finished run leaves it."""
    begin_run(output, num_rows=num_rows, rows_per_shard=rows_per_shard)
    record = read_run(output)
    report = {"num_images": num_rows, "num_rows": num_rows, "errors": errors}
    write_run(output, {**record, "status": "finished", "report": report})


def write_manifest(output: Folder, *, num_rows: int, rows_per_shard: int = 10) -> None:
    """The plan's shards for the images of `score_rows`."""
    schema = pa.schema([ROW_NUMBER, IMAGE_ID, URI])
    for first in range(0, num_rows, rows_per_shard):
        numbers = range(first, min(first + rows_per_shard, num_rows))
        rows = [{"row_number": n, "image_id": f"{n}.jpg", "uri": f"/photos/{n}.jpg"} for n in numbers]
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
        output.write(shard_name(first // rows_per_shard), buffer.getvalue().to_pybytes())
