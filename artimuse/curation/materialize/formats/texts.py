"""Rows and captions as text."""

import datetime
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def caption_of(value: object) -> str:
    """A caption in one line; empty if there is none.

    Several trainers take each line for a caption of its own, or read the first one only.
    """
    return "" if value is None else " ".join(str(value).split())


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row as JSON has them: what is no number is null, times are ISO 8601, bytes hexadecimal."""
    return {name: _plain(value) for name, value in row.items()}


def with_small_integers(rows: pa.Table) -> pa.Table:
    """The rows with 64-bit hashes as decimal text: Arrow, by which `datasets` reads JSON, has no integers as large."""
    for place, field in enumerate(rows.schema):
        if field.type == pa.uint64():
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
