"""Manifest files as streams of Arrow batches: Parquet, CSV and JSON lines, local or on an fsspec URL.

What the columns mean is `manifest.py`. Everything that cannot be read is BadInput with the file and, for text, the
line.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.errors import BadInput
from artimuse.io.reading import open_input

_PARQUET_BATCH_ROWS = 8192
_TEXT_BATCH_ROWS = 1024
_MAX_LINE_BYTES = 64 * 2**20
_BUFFER_BYTES = 2**20

_JsonRow = tuple[int, dict[str, Any]]  # with its line number


class Table(Protocol):
    """A file of rows."""

    schema: pa.Schema

    def __init__(self, location: str) -> None: ...
    def batches(self) -> Iterator[pa.RecordBatch]: ...


class ParquetTable:
    """Streamed row group by row group, page by page."""

    def __init__(self, location: str) -> None:
        self.location = location
        with open_input(location) as file, _parquet(file) as parquet:
            self.schema = parquet.schema_arrow

    def batches(self) -> Iterator[pa.RecordBatch]:
        with open_input(self.location) as file, _parquet(file) as parquet:
            yield from parquet.iter_batches(batch_size=_PARQUET_BATCH_ROWS)


class CsvTable:
    """A CSV file with a header line. All columns are text as written, so `007` stays; an empty cell is null.

    Python's parser, because Arrow's takes a quote that is never closed as one long cell: rows would vanish.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        with open_input(location) as file:
            header = next(self._rows(file), None)
        if header is None:
            raise BadInput(f"{location}: empty; expected a header line with a column `uri`")
        self.schema = pa.schema([(name, pa.string()) for name in header])

    def batches(self) -> Iterator[pa.RecordBatch]:
        with open_input(self.location) as file:
            rows = islice(self._rows(file), 1, None)
            while chunk := list(islice(rows, _TEXT_BATCH_ROWS)):
                columns = [pa.array([cell or None for cell in column], pa.string()) for column in zip(*chunk)]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _rows(self, file: BinaryIO) -> Iterator[list[str]]:
        """The header and the rows, all of one length. Blank lines are no rows."""
        reader = csv.reader((text for _, text in _lines(self.location, file)), strict=True)
        num_columns = 0
        try:
            for row in reader:
                num_columns = num_columns or len(row)
                if row and len(row) != num_columns:
                    found = f"{len(row)} columns where the header has {num_columns}"
                    raise BadInput(f"{self.location}, line {reader.line_num}: {found}")
                if row:
                    yield row
        except csv.Error as error:
            raise BadInput(f"{self.location}, line {reader.line_num}: {error}") from error


class JsonLinesTable:
    """One JSON object per line; a key that is missing is null. Blank lines are no rows.

    Read once more before the first row: only the whole file tells whether a column of integers has a 0.5 in its last
    line.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.schema = pa.schema([])
        with open_input(location) as file:
            for chunk in self._chunks(file):
                names = dict.fromkeys(name for _, row in chunk for name in row)
                found = pa.schema([(name, self._column(chunk, name, None).type) for name in names])
                try:
                    self.schema = pa.unify_schemas([self.schema, found], promote_options="permissive")
                except pa.ArrowException as error:
                    raise BadInput(f"{location}, {_line_range(chunk)}: {error}") from error
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), self.schema).close()
        except pa.ArrowNotImplementedError as error:  # a column of nothing but `{}`
            raise BadInput(f"{location}: {error}") from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        with open_input(self.location) as file:
            for chunk in self._chunks(file):
                columns = [self._column(chunk, field.name, field.type) for field in self.schema]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _chunks(self, file: BinaryIO) -> Iterator[list[_JsonRow]]:
        rows = ((number, self._parsed(number, text)) for number, text in _lines(self.location, file) if text.strip())
        while chunk := list(islice(rows, _TEXT_BATCH_ROWS)):
            yield chunk

    def _parsed(self, number: int, text: str) -> dict[str, Any]:
        try:
            row = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{self.location}, line {number}: not JSON ({getattr(error, 'msg', error)})") from error
        if not isinstance(row, dict):
            raise BadInput(f"{self.location}, line {number}: expected one JSON object per line")
        return row

    def _column(self, chunk: Sequence[_JsonRow], name: str, kind: pa.DataType | None) -> pa.Array:
        try:
            return pa.array([row.get(name) for _, row in chunk], kind)
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            raise BadInput(f"{self.location}, {_line_range(chunk)}: column {name}: {error}") from error


TABLES: dict[str, type[Table]] = {
    ".parquet": ParquetTable,
    ".csv": CsvTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
}


def is_text(kind: pa.DataType) -> bool:
    """Dictionaries of strings too, and a column that is null throughout: what is missing is told by its first row."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _parquet(file: BinaryIO) -> pq.ParquetFile:
    # Without a buffer size each column chunk of a row group is held whole.
    return pq.ParquetFile(file, buffer_size=_BUFFER_BYTES)


def _lines(location: str, file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Numbered from 1, line ends kept."""
    number = 0
    while line := file.readline(_MAX_LINE_BYTES):
        number += 1
        if len(line) == _MAX_LINE_BYTES:
            raise BadInput(f"{location}, line {number}: longer than {_MAX_LINE_BYTES} bytes; expected one row per line")
        try:
            yield number, (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode()
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{location}, line {number}: not UTF-8 text ({error.reason} at byte {error.start})"
            ) from error


def _line_range(chunk: Sequence[_JsonRow]) -> str:
    return f"lines {chunk[0][0]} to {chunk[-1][0]}"
