"""Selections of small pictures, and what `artimuse materialize` makes of them, for tests."""

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from artimuse.cli import main
from artimuse.curation.materialize.units import PARTS
from tests.pictures import encoded, picture

OWN = ("materialize.json", ".lock")


def score(source: Path | str, table: Path, *options: str) -> str:
    """Scored by brightness. Some images may fail."""
    arguments = ["score", str(source), str(table), "--engine", "fake", "--workers", "0", *options]
    assert main(arguments) in (0, 3)
    return str(table)


def select(*tables: str, to: Path, options: tuple[str, ...] = ()) -> str:
    assert main(["select", *tables, "--to", str(to), *options]) == 0
    return str(to)


def scored_pictures(folder: Path, images: Mapping[str, bytes], **columns: list[Any]) -> str:
    """A table of these images under these ids, by a manifest with columns of its own."""
    (folder / "files").mkdir(parents=True)
    rows = []
    for number, (image_id, data) in enumerate(images.items()):
        (folder / "files" / f"{number:04d}").write_bytes(data)
        own = {name: values[number] for name, values in columns.items()}
        rows.append({"image_id": image_id, "uri": f"files/{number:04d}", **own})
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return score(folder / "list.csv", folder / "table")


def pictures(count: int, file_format: str = "PNG") -> dict[str, bytes]:
    """Each brighter than the last."""
    suffix = {"PNG": "png", "JPEG": "jpg"}[file_format]
    return {f"{i:03d}.{suffix}": encoded(picture(40 + i * 170 // max(count - 1, 1)), file_format) for i in range(count)}


def materialize(
    selection: str, to: Path | str, layout: str, *options: str, capsys: pytest.CaptureFixture[str], status: int = 0
) -> dict[str, Any]:
    """The report."""
    capsys.readouterr()
    found = main(["materialize", selection, str(to), "--format", layout, "--json", *options])
    shown = capsys.readouterr()
    assert found == status, shown.err
    report: dict[str, Any] = json.loads(shown.out)
    return report


def refusal(selection: str, to: Path | str, layout: str, *options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that is said of a run that does not begin."""
    capsys.readouterr()
    assert main(["materialize", selection, str(to), "--format", layout, *options]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def files(folder: Path) -> dict[str, bytes]:
    """What is in DEST beside its own records."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OWN and PARTS not in path.relative_to(folder).parts
    }


def parts(folder: Path) -> list[dict[str, Any]]:
    """The rows of the record, in order."""
    rows = duckdb.sql(f"FROM '{folder}/{PARTS}/*.parquet' ORDER BY number, row_number").to_arrow_table()
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
