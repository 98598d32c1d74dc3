"""Rows of a score table, and plan and run.json as a run writes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from artimuse.io.folder import Folder
from artimuse.io.stores import open_store
from artimuse.table.ledger import Ledger
from artimuse.table.open import open_table
from artimuse.table.parts import write_rows
from artimuse.table.plan import PlanFacts, shard_name
from artimuse.table.record import RUN_FILE, ScoreRecord, Status
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


def record(*, num_rows: int, rows_per_shard: int = 10, status: Status = "running", **changes: Any) -> ScoreRecord:
    """run.json of a table of so many rows."""
    plan = PlanFacts(num_rows, -(-num_rows // rows_per_shard), rows_per_shard, {})
    facts: dict[str, Any] = {"artimuse": "0", "started_at": "", "note": None, "config": {}, "versions": {}}
    return ScoreRecord(**{**facts, "status": status, "fingerprints": FINGERPRINTS, "plan": plan, **changes})


def begin_run(output: Folder, *, num_rows: int, rows_per_shard: int = 10, status: Status = "running") -> None:
    RUN_FILE.write(output, record(num_rows=num_rows, rows_per_shard=rows_per_shard, status=status))


def end_run(output: Folder, *, num_rows: int, errors: dict[str, int], rows_per_shard: int = 10) -> None:
    """run.json as a finished run leaves it."""
    report = {"num_images": num_rows, "num_rows": num_rows, "errors": errors}
    ended = record(num_rows=num_rows, rows_per_shard=rows_per_shard, status="finished", report=report)
    RUN_FILE.write(output, ended)


@dataclass(frozen=True, slots=True)
class SmallTable:
    """A table that a run has begun, as its workers write it and as the next run finds it."""

    output: Folder
    num_rows: int = 25
    rows_per_shard: int = 10

    def write(self, rows: pa.Table, *, replaces: bool = False) -> str:
        return write_rows(self.output, rows, rows_per_shard=self.rows_per_shard, replaces=replaces)

    def ledger(self) -> Ledger:
        return Ledger(self.output, num_rows=self.num_rows, rows_per_shard=self.rows_per_shard)

    def open(self, fingerprints: Mapping[str, Mapping[str, Any]] = FINGERPRINTS) -> Ledger:
        """As a run with these fingerprints does, compaction and all."""
        asked = record(num_rows=self.num_rows, rows_per_shard=self.rows_per_shard, fingerprints=fingerprints)
        return open_table(self.output, asked)


def write_manifest(output: Folder, *, num_rows: int, rows_per_shard: int = 10) -> None:
    """The plan's shards for the images of `score_rows`."""
    schema = pa.schema([ROW_NUMBER, IMAGE_ID, URI])
    for first in range(0, num_rows, rows_per_shard):
        numbers = range(first, min(first + rows_per_shard, num_rows))
        rows = [{"row_number": n, "image_id": f"{n}.jpg", "uri": f"/photos/{n}.jpg"} for n in numbers]
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
        output.write(shard_name(first // rows_per_shard), buffer.getvalue().to_pybytes())
