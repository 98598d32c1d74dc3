"""Manifest files as streams of Arrow batches: Parquet, CSV, JSON and lists, local or on an fsspec URL.

What the columns mean is `manifest.py`. Everything that cannot be read is BadInput with the file and, for text, the
line.
"""

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.errors import BadInput
from artimuse.io.reading import open_input

_PARQUET_BATCH_ROWS = 8192
_TEXT_BATCH_ROWS = 1024
_MAX_LINE_BYTES = 64 * 2**20
_BUFFER_BYTES = 2**20
_MAX_START_BYTES = 2**12
_MAX_INT64 = 2**63 - 1
_SURROGATE = r"\ud"
_MAX_SHOWN = 40

_JsonRow = tuple[int, dict[str, Any]]  # with its line number


Opener = Callable[[], AbstractContextManager[BinaryIO]]
"""Opens a table's file, again each time that it is read."""


class Table(Protocol):
    """A file of rows, at a location that messages name; opened there, unless something else opens it."""

    schema: pa.Schema

    def __init__(self, location: str, opened: Opener | None = None) -> None: ...
    def batches(self) -> Iterator[pa.RecordBatch]: ...


class ParquetTable:
    """Streamed row group by row group, page by page."""

    def __init__(self, location: str, opened: Opener | None = None) -> None:
        self.location = location
        self.opened = opened or partial(open_input, location)
        with self.opened() as file, _parquet(file) as parquet:
            self.schema = parquet.schema_arrow

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.opened() as file, _parquet(file) as parquet:
            yield from parquet.iter_batches(batch_size=_PARQUET_BATCH_ROWS)


class CsvTable:
    """Text with a header line and cells between commas. All columns are text as written, so `007` stays.

    An empty cell is null.

    Python's parser, because Arrow's takes a quote that is never closed as one long cell: rows would vanish.
    """

    delimiter = ","

    def __init__(self, location: str, opened: Opener | None = None) -> None:
        self.location = location
        self.opened = opened or partial(open_input, location)
        with self.opened() as file:
            header = next(self._rows(file), None)
        if header is None:
            raise BadInput(f"{location}: empty; expected a header line with a column `uri`")
        self.schema = pa.schema([(name, pa.string()) for name in header])

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.opened() as file:
            rows = islice(self._rows(file), 1, None)
            while chunk := list(islice(rows, _TEXT_BATCH_ROWS)):
                columns = [pa.array([cell or None for cell in column], pa.string()) for column in zip(*chunk)]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _rows(self, file: BinaryIO) -> Iterator[list[str]]:
        """The header and the rows, all of one length. Blank lines are no rows."""
        csv.field_size_limit(_MAX_LINE_BYTES)  # of the process; Python's own is 128 KiB, less than many a workflow
        reader = csv.reader((text for _, text in _lines(self.location, file)), delimiter=self.delimiter, strict=True)
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


class TsvTable(CsvTable):
    """The same with tabs."""

    delimiter = "\t"


class ListTable:
    """Text with one URI on each line, and no header. Blank lines are no rows."""

    schema = pa.schema([("uri", pa.string())])

    def __init__(self, location: str, opened: Opener | None = None) -> None:
        self.location = location
        self.opened = opened or partial(open_input, location)

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.opened() as file:
            uris = (uri for _, line in _lines(self.location, file) if (uri := line.rstrip("\r\n")).strip())
            while chunk := list(islice(uris, _TEXT_BATCH_ROWS)):
                yield pa.RecordBatch.from_arrays([pa.array(chunk, pa.string())], schema=self.schema)


class JsonLinesTable:
    """One JSON object per line; a key that is missing is null. Blank lines are no rows.

    Read once more before the first row: only the whole file tells whether a column of integers has a 0.5 in its last
    line.
    """

    unit = "line"

    def __init__(self, location: str, opened: Opener | None = None) -> None:
        self.location = location
        self.opened = opened or partial(open_input, location)
        self.schema = pa.schema([])
        with self.opened() as file:
            for chunk in self._chunks(file):
                self.schema = self._widened(self.schema, chunk)
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), self.schema).close()
        except pa.ArrowNotImplementedError as error:  # a column of nothing but `{}`
            raise BadInput(f"{location}: {error}") from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.opened() as file:
            for chunk in self._chunks(file):
                columns = [self._column(chunk, field.name, field.type) for field in self.schema]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _chunks(self, file: BinaryIO) -> Iterator[list[_JsonRow]]:
        rows = ((number, self._parsed(number, text)) for number, text in _lines(self.location, file) if text.strip())
        while chunk := list(islice(rows, _TEXT_BATCH_ROWS)):
            yield chunk

    def _widened(self, schema: pa.Schema, chunk: Sequence[_JsonRow]) -> pa.Schema:
        """The columns so far with those of a chunk, of types that hold the values of both."""
        names = dict.fromkeys(name for _, row in chunk for name in row)
        found = pa.schema([(name, self._column(chunk, name, None).type) for name in names])
        try:
            return _unified(schema, found)
        except pa.ArrowException:
            name = next(name for name in names if name in schema.names and not _can_unify(schema, found, name))
            number = next((number for number, row in chunk if row.get(name) is not None), chunk[0][0])
            raise BadInput(
                f"{self.location}, {self.unit} {number}: column {name} is {found.field(name).type} here and"
                f" {schema.field(name).type} before; a column has one type"
            ) from None

    def _parsed(self, number: int, text: str) -> dict[str, Any]:
        try:
            row = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{self.location}, line {number}: not JSON ({getattr(error, 'msg', error)})") from error
        if not isinstance(row, dict):
            raise BadInput(f"{self.location}, line {number}: expected one JSON object per line")
        return self._as_row(row, text)

    def _as_row(self, row: dict[str, Any], text: str) -> dict[str, Any]:
        return cast(dict[str, Any], _without_surrogates(row)) if _SURROGATE in text.lower() else row

    def _column(self, chunk: Sequence[_JsonRow], name: str, kind: pa.DataType | None) -> pa.Array:
        values = [row.get(name) for _, row in chunk]
        try:
            return pa.array(values, kind or _unsigned_if_needed(values))
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            number, value = self._first_misfit(chunk, name, kind)
            raise BadInput(
                f"{self.location}, {self.unit} {number}: column {name} cannot hold {value} beside the values before it"
            ) from error

    def _first_misfit(self, chunk: Sequence[_JsonRow], name: str, kind: pa.DataType | None) -> tuple[int, str]:
        """The line, and the value as JSON, cut short, that makes no column with those before it."""
        values = [row.get(name) for _, row in chunk]
        for last in range(len(values)):
            try:
                pa.array(values[: last + 1], kind or _unsigned_if_needed(values[: last + 1]))
            except (ValueError, TypeError, OverflowError, pa.ArrowException):
                break
        shown = json.dumps(values[last])
        return chunk[last][0], shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


class JsonArrayTable(JsonLinesTable):
    """One JSON array of objects, which is read into memory; a file with an object per line is read as such."""

    unit = "item or line"

    def _chunks(self, file: BinaryIO) -> Iterator[list[_JsonRow]]:
        start = file.read(_MAX_START_BYTES).lstrip(codecs.BOM_UTF8).lstrip()
        file.seek(0)
        if not start.startswith(b"["):
            yield from super()._chunks(file)
            return
        try:
            text = file.read().decode("utf-8-sig")
            items = json.loads(text)
        except UnicodeDecodeError as error:
            raise BadInput(f"{self.location}: not UTF-8 text ({error.reason} at byte {error.start})") from error
        except ValueError as error:
            raise BadInput(f"{self.location}: not JSON ({error})") from error
        for number, item in enumerate(items):
            if not isinstance(item, dict):
                raise BadInput(f"{self.location}: item {number} (they count from 0) is no object")
        rows = iter(enumerate(self._as_row(item, text) for item in items))
        while chunk := list(islice(rows, _TEXT_BATCH_ROWS)):
            yield chunk


def _unsigned_if_needed(values: Sequence[Any]) -> pa.DataType | None:
    """Generators draw seeds up to 2^64 - 1, for which Arrow's own guess has no room."""
    is_large = any(isinstance(value, int) and value > _MAX_INT64 for value in values)
    return pa.uint64() if is_large and all(value is None or isinstance(value, int) for value in values) else None


def _unified(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """The columns of both; int64 and uint64 become uint64, which Arrow itself would make int64."""
    unified = pa.unify_schemas([first, second], promote_options="permissive")
    for index, field in enumerate(unified):
        kinds = {schema.field(field.name).type for schema in (first, second) if field.name in schema.names}
        if kinds == {pa.int64(), pa.uint64()}:
            unified = unified.set(index, field.with_type(pa.uint64()))
    return unified


def _can_unify(first: pa.Schema, second: pa.Schema, name: str) -> bool:
    try:
        _unified(pa.schema([first.field(name)]), pa.schema([second.field(name)]))
    except pa.ArrowException:
        return False
    return True


def _without_surrogates(value: Any) -> Any:
    r"""Halves of surrogate pairs, which no UTF-8 text can hold, as `\udc00`."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value


TABLES: dict[str, type[Table]] = {
    ".parquet": ParquetTable,
    ".csv": CsvTable,
    ".tsv": TsvTable,
    ".txt": ListTable,
    ".json": JsonArrayTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
}


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
