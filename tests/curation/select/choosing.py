"""Selections of tables in a directory."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from artimuse.configs.select import SelectConfig
from artimuse.curation.select.run import SelectReport, run
from tests.curation.score_tables import kept_rows

PROMPT = pa.schema([("prompt", pa.string())])


def select(directory: Path, *tables: str, **asked: Any) -> SelectReport:
    """Writes `selection.parquet` in the directory; tables are in it too."""
    named = tuple(str(directory / table) if "=" not in table else table for table in tables or ("table",))
    config = SelectConfig(tables=named, to=str(directory / "selection.parquet"), **asked)
    return run(config, Console(file=io.StringIO()))


def numbers(directory: Path) -> list[int]:
    return [number for _, number in kept_rows(directory / "selection.parquet")]


def dropped(directory: Path) -> dict[int, str]:
    rows = pq.read_table(directory / "selection.dropped.parquet").to_pylist()
    return {row["row_number"]: row["reason"] for row in rows}
