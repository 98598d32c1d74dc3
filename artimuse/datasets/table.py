"""The project's own annotation table (`schema.ANNOTATION_SCHEMA`) as a data set, and the way to bring your own labels.

A Parquet file, a folder of them (read in the order of their names), JSON lines, or text with cells between commas or
tabs; local or on an fsspec URL.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.errors import BadInput, BadOutput
from artimuse.interfaces import Annotation, AnnotationKind
from artimuse.io.folder import Folder
from artimuse.io.location import local_path
from artimuse.sources.columns import is_id, is_text, refuse_same_names, separator_hint
from artimuse.sources.suffixes import suffix_of
from artimuse.sources.tables import CsvTable, JsonLinesTable, ParquetTable, Table, TsvTable
from artimuse.sources.uris import absolute_uris, check_uris

logger = logging.getLogger(__name__)

LOWEST, HIGHEST = 0.0, 100.0

_FORMATS: dict[str, type[Table]] = {
    ".parquet": ParquetTable,
    ".jsonl": JsonLinesTable,
    ".csv": CsvTable,
    ".tsv": TsvTable,
}
_AS_TEXT = (".csv", ".tsv")
"""Formats whose numbers are written as text."""
_KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)
_REQUIRED = tuple(field.name for field in ANNOTATION_SCHEMA if not field.nullable)
_AS_THEY_ARE = ("image_id", "dataset", "split", "kind", "score", "evidence", "question", "answer", "analyst")
_MAX_SPLITS_NAMED = 10


class NoSuchSplit(BadInput):
    """The table is well, but no row is of the split asked for."""


class TableReader:
    """Implements `interfaces.DatasetReader`. Relative URIs are below the table's own directory, as in a manifest.

    Columns that may be null may be missing; columns that are not in the schema are left out, and said so once.
    """

    score_range = (LOWEST, HIGHEST)

    def read(self, root: str, split: str) -> Iterator[Annotation]:
        """Annotations of one split, in file order, in bounded memory.

        Raises BadInput naming the file, and the row (from 0) if it is one row's fault; other splits' rows are not
        checked. NoSuchSplit if there is no row of this split.
        """
        splits: set[str] = set()
        num_rows = 0
        for location in _files(root):
            first_row = 0
            for batch in _batches(location):
                splits.update(_splits(location, batch, first_row))
                for annotation in _annotations(location, batch, split, first_row):
                    num_rows += 1
                    yield annotation
                first_row += batch.num_rows
        if not num_rows:
            found = ", ".join(sorted(splits)[:_MAX_SPLITS_NAMED]) or "none, the table is empty"
            raise NoSuchSplit(f"{root}: no row of split {split!r}; splits found: {found}")


def _files(root: str) -> list[str]:
    """The files of a table, as absolute paths or URLs."""
    local = local_path(root)
    location = root if local is None else str(Path(local).expanduser().absolute())
    if suffix_of(location) in _FORMATS and not (local is not None and Path(location).is_dir()):
        return [location]
    expected = "expected a Parquet file, a folder of them, or a .jsonl, .csv or .tsv file"
    try:
        names = [
            name
            for name in Folder.at(location).names()
            if suffix_of(name) == ".parquet" and not name.startswith((".", "_"))
        ]
    except BadOutput as error:
        raise BadInput(f"{error}; {expected}") from error
    if not names:
        raise BadInput(f"{root}: no annotation table here; {expected}")
    return [f"{location.rstrip('/')}/{name}" for name in names]


def _batches(location: str) -> Iterator[pa.RecordBatch]:
    """Batches with all columns of the schema, as text except for float64 scores: 73.4 is to stay 73.4.

    Where all cells are text, scores are as written.
    """
    table = _FORMATS[suffix_of(location)](location)
    _check_columns(location, table.schema)
    for batch in table.batches():
        columns = {
            field.name: (
                batch.column(field.name).cast(_type_read(field, location), safe=False)
                if field.name in batch.schema.names
                else pa.nulls(batch.num_rows, _type_read(field, location))
            )
            for field in ANNOTATION_SCHEMA
        }
        yield pa.RecordBatch.from_pydict(columns)


def _type_read(field: pa.Field, location: str) -> pa.DataType:
    is_number = pa.types.is_floating(field.type) and suffix_of(location) not in _AS_TEXT
    return pa.float64() if is_number else pa.string()


def _check_columns(location: str, columns: pa.Schema) -> None:
    found = ", ".join(columns.names) or "none"
    if missing := [name for name in _REQUIRED if name not in columns.names]:
        raise BadInput(
            f"{location}: no column {', '.join(missing)}; columns found: {found}{separator_hint(columns.names)}"
        )
    refuse_same_names(location, columns.names, columns.names)
    for field in ANNOTATION_SCHEMA:
        if field.name not in columns.names:
            continue
        kind = columns.field(field.name).type
        expected = _type_read(field, location)
        is_good = _is_number if pa.types.is_floating(expected) else is_id if field.name == "image_id" else is_text
        if not is_good(kind):
            raise BadInput(f"{location}: column {field.name} is {kind}; expected {expected}")
    if unknown := [name for name in columns.names if name not in ANNOTATION_SCHEMA.names]:
        logger.warning("annotation_columns_left_out file=%s columns=%s", location, ",".join(unknown))


def _is_number(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _splits(location: str, batch: pa.RecordBatch, first_row: int) -> list[str]:
    """Raises BadInput for a row without a split, which would otherwise be in none."""
    row = pc.index(pc.equal(pc.fill_null(batch.column("split"), ""), ""), True).as_py()
    if row >= 0:
        raise BadInput(f"{_row(location, first_row + row)}: no split")
    splits: list[str] = pc.unique(batch.column("split")).to_pylist()
    return splits


def _annotations(location: str, batch: pa.RecordBatch, split: str, first_row: int) -> Iterator[Annotation]:
    is_asked = pc.equal(batch.column("split"), split)
    positions = np.flatnonzero(is_asked)
    rows = batch.take(pa.array(positions)).to_pylist()
    for row, position in zip(rows, positions):
        where = _row(location, first_row + int(position))
        row["score"] = _number(row["score"], where)
        _check_row(row, where)
    check_uris(location, pc.if_else(is_asked, batch.column("uri"), ""), first_row=first_row)
    uris = absolute_uris(location, pa.array([row["uri"] for row in rows], pa.string()))
    for row, uri in zip(rows, uris.to_pylist()):
        yield Annotation(
            **{name: row[name] for name in _AS_THEY_ARE},
            uri=uri,
            texts={a.slug: row[a.slug] for a in ATTRIBUTES if row[a.slug]},
        )


def _check_row(row: Mapping[str, Any], where: str) -> None:
    for name in _REQUIRED:
        if not row[name]:
            raise BadInput(f"{where}: no {name}")
    if row["kind"] not in _KINDS:
        raise BadInput(f"{where}: kind {row['kind']!r}; expected one of {', '.join(_KINDS)}")
    if bool(row["question"]) != bool(row["answer"]):
        raise BadInput(f"{where}: question {row['question']!r} with answer {row['answer']!r}; expected both or neither")
    score = row["score"]
    if score is None and row["kind"] == "score":
        raise BadInput(f"{where}: of kind score, but without a score")
    if score is not None and (math.isnan(score) or not LOWEST <= score <= HIGHEST):
        raise BadInput(f"{where}: score {score:g}; expected {LOWEST:g} to {HIGHEST:g}")


def _number(score: float | str | None, where: str) -> float | None:
    try:
        return None if score is None else float(score)
    except ValueError:
        raise BadInput(f"{where}: score {score!r}; expected a number such as 73.4") from None


def _row(location: str, number: int) -> str:
    return f"{location}, row {number} (rows count from 0)"
