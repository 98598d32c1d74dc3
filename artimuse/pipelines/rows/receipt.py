"""What is known of a part that was written: small enough to be sent to the driver for every part."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_COUNTS = ("text_problems", "workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """One part. Seconds are those that workers spent on its rows."""

    part: str
    shard: int
    num_rows: int
    replaces: bool
    """The rows were in the table before, and are staged."""
    num_failed: int
    num_described: int
    text_problems: Mapping[str, int]
    """Rows that should have got texts, by the reason why they did not."""
    began_at: float
    """Seconds since the epoch, by the worker's clock."""
    workers: Mapping[str, int]
    """Rows by the node that did the work."""
    fetch_s: float
    decode_s: float
    score_s: float
    """Describing counts as scoring."""
    write_s: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Receipt":
        return cls(**{**row, **{name: json.loads(row[name]) for name in _COUNTS}})

    def as_row(self) -> dict[str, Any]:
        """The receipt as a row of a table, which is what Ray sends."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {name: json.dumps(values[name]) for name in _COUNTS}
