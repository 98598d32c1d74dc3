"""Rows of a score table, and run.json as a run writes it, for tests of sinks."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from artimuse.schema import score_schema
from artimuse.sinks.run_file import write_run
from artimuse.storage import Folder

VALUES = np.linspace(0, 100, 5, dtype=np.float32)
FINGERPRINTS = {"plan": {"input": "/photos"}, "score": {"weights": "abc", "strategy": "levels_5", "dtype": "float32"}}


def score_rows(row_numbers: Iterable[int], *, score: float | None = 50.0) -> pa.Table:
    """Rows with these numbers, failed if there is no score."""
    rows = [
        {
            "row_number": number,
            "image_id": f"{number}.jpg",
            "uri": f"/photos/{number}.jpg",
            "status": "failed" if score is None else "ok",
            "error_code": "not_found" if score is None else None,
            "score": score,
            "attempt": 1,
        }
        for number in row_numbers
    ]
    schema = score_schema(VALUES, pa.schema([]))
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema)


def begin_run(output: Folder, *, num_rows: int) -> None:
    write_run(output, {"fingerprints": FINGERPRINTS, "plan": {"num_rows": num_rows}})
