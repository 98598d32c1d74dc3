"""Small tables to compare, and what a comparison prints."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from artimuse.configs.compare import CompareConfig
from artimuse.curation.compare.comparison import CompareReport
from artimuse.curation.compare.run import run

PROMPT = pa.schema([("prompt", pa.string())])

Row = Mapping[str, Any]


def compare(directory: Path, a: str = "a", b: str = "b", **asked: Any) -> CompareReport:
    config = CompareConfig(table_a=str(directory / a), table_b=str(directory / b), **asked)
    return run(config, Console(file=io.StringIO()))


def printed(report: CompareReport, width: int = 120) -> str:
    """On a terminal without the console's own filter, so that what is seen here is the report's."""
    console = Console(file=io.StringIO(), width=width)
    report.print(console)
    return console.file.getvalue()


def scores(*values: float | None, **columns: Sequence[Any]) -> list[Row]:
    """Rows with these scores; a column has a value for each."""
    return [
        {"score": value} | {name: cells[number] for name, cells in columns.items()}
        for number, value in enumerate(values)
    ]


def of_other_files(rows: Sequence[Row]) -> list[Row]:
    return [{"sha256": f"other {number}", **row} for number, row in enumerate(rows)]
