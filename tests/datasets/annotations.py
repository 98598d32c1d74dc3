"""Annotation tables for tests, as bringing one's own labels looks."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]


def annotation(image_id: str = "a", **fields: Any) -> Row:
    return {
        "image_id": image_id,
        "uri": f"images/{image_id}.jpg",
        "dataset": "mine",
        "split": "train",
        "kind": "score",
        "score": 73.4,
        **fields,
    }


def parquet(path: Path, rows: list[Row]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # from_pylist() takes its columns from the first row only.
    names = dict.fromkeys(name for row in rows for name in row)
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    return str(path)


def delimited(path: Path, rows: list[Row]) -> str:
    """Cells between commas, or tabs if it is a .tsv; None is an empty cell."""
    names = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(names), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def json_lines(path: Path, rows: list[Row]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)
