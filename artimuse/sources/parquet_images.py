"""Parquet files with the images in a column, as HF datasets and others write them. Planning reads no image."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artimuse.errors import BadInput
from artimuse.io.location import file_uri, printable
from artimuse.io.parquet_cells import IMAGE_COLUMNS, image_leaf
from artimuse.io.reading import open_input
from artimuse.sources.columns import is_id, refuse_missing, refuse_same_names
from artimuse.sources.containers import ContainerFiles
from artimuse.sources.files import BATCH_ROWS
from artimuse.table.schema import COLUMN, IMAGE_ID, OFFSET, URI, passthrough_name

logger = logging.getLogger(__name__)

_READ_AHEAD_BYTES = 64 * 2**10
_BUFFER_BYTES = 2**20


class ParquetImagesSource:
    """The id is the column `image_id`, or `path/below/INPUT.parquet#row` with rows counted from 0.

    All files have the columns of the first, in any order and perhaps more. Those with bytes in them are left out of the
    passthrough columns.
    """

    def __init__(self, files: ContainerFiles, *, image_column: str | None) -> None:
        """Raises BadInput if the first file has no column with images, or not the one asked for."""
        self.files = files
        location, _ = next(iter(files))
        columns = _columns_of(location)
        stored = [name if name == "image_id" else passthrough_name(name) for name in columns.names]
        refuse_same_names(location, stored, columns.names)
        self._column, self._leaf = _find_images(location, columns, image_column)
        self._has_ids = "image_id" in columns.names
        if self._has_ids and not is_id(columns.field("image_id").type):
            raise BadInput(f"{location}: column `image_id` is {columns.field('image_id').type}; expected string")
        others = [field for field in columns if field.name not in ("image_id", self._column)]
        self._left_out = [field.name for field in others if image_leaf(field)]
        kept = pa.schema([field for field in others if field.name not in self._left_out])
        self._passthrough = _without_null_types(kept, files)
        self.passthrough = pa.schema([field.with_name(passthrough_name(field.name)) for field in self._passthrough])
        self.skipped: Mapping[str, int] = {}
        self._schema = pa.schema([IMAGE_ID, URI, OFFSET, COLUMN, *self.passthrough])

    def batches(self) -> Iterator[pa.RecordBatch]:
        if self._left_out:
            logger.warning("parquet_columns_left_out columns=%s", ",".join(self._left_out))
        has_rows = False
        for location, path in self.files:
            with _opened(location) as parquet:
                for batch in self._batches_of(location, path, parquet):
                    has_rows = True
                    yield batch
        self.skipped = dict(self.files.skipped.most_common())
        if not has_rows:
            raise BadInput(f"{self.files.location}: no rows")

    def _batches_of(self, location: str, path: str, parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        self._refuse_other_columns(location, parquet.schema_arrow)
        wanted = [*self._passthrough.names, *(["image_id"] if self._has_ids else [])]
        first = 0
        for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
            rows = pa.array(np.arange(first, first + batch.num_rows))
            written = rows.cast(pa.string())
            uris = pc.binary_join_element_wise(file_uri(location), written, "#")
            if self._has_ids:
                ids = batch.column("image_id").cast(pa.string())
                refuse_missing(location, "image_id", ids, first)
            else:
                ids = pc.binary_join_element_wise(printable(path), written, "#")
            column = pa.repeat(self._leaf, batch.num_rows)
            passthrough = [_as(batch.column(field.name), field.type) for field in self._passthrough]
            yield pa.RecordBatch.from_arrays([ids, uris, rows, column, *passthrough], schema=self._schema)
            first += batch.num_rows

    def _refuse_other_columns(self, location: str, columns: pa.Schema) -> None:
        """Other columns than the first file's are left out; a column that is null throughout may be of any type."""
        expected = [*self._passthrough, *([IMAGE_ID] if self._has_ids else [])]
        for field in expected:
            if field.name not in columns.names:
                raise BadInput(f"{location}: no column `{field.name}`, which the first file has")
        for field in self._passthrough:
            found = columns.field(field.name).type
            if found not in (field.type, pa.null()):
                raise BadInput(f"{location}: column `{field.name}` is {found}, in the first file {field.type}")
        if not self._has_ids and "image_id" in columns.names:
            raise BadInput(f"{location}: has a column `image_id`, which the first file has not")
        leaf = image_leaf(columns.field(self._column)) if self._column in columns.names else None
        if leaf != self._leaf:
            raise BadInput(f"{location}: no images in column `{self._leaf}`, where the first file has them")


def _columns_of(location: str) -> pa.Schema:
    with _opened(location) as parquet:
        return parquet.schema_arrow


def _without_null_types(columns: pa.Schema, files: ContainerFiles) -> pa.Schema:
    """The columns that are null throughout the first file, with the type that they have in a later one."""
    if pa.null() not in columns.types:
        return columns
    for location, _ in files:
        later = _columns_of(location)
        for index, field in enumerate(columns):
            if field.type == pa.null() and field.name in later.names:
                columns = columns.set(index, field.with_type(later.field(field.name).type))
        if pa.null() not in columns.types:
            break
    return columns


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.nulls(len(column), kind) if column.type == pa.null() else column


def has_uris(location: str) -> bool:
    """True if the Parquet file is a manifest, which has a column `uri`."""
    return "uri" in _columns_of(location).names


def _find_images(location: str, columns: pa.Schema, asked: str | None) -> tuple[str, str]:
    """The column and its leaf."""
    found = ", ".join(f"{field.name} ({field.type})" for field in columns) or "none"
    for name in [asked] if asked else IMAGE_COLUMNS:
        if name in columns.names and (leaf := image_leaf(columns.field(name))):
            return name, leaf
    expected = (
        f"column `{asked}` does not hold images"
        if asked
        else (
            f"no column with images ({', '.join(IMAGE_COLUMNS)}, or --image-column),"
            " and none with their locations (`uri`)"
        )
    )
    raise BadInput(f"{location}: {expected}: binary, or a struct with binary `bytes`. Columns found: {found}")


@contextmanager
def _opened(location: str) -> Iterator[pq.ParquetFile]:
    with (
        open_input(location, read_ahead_bytes=_READ_AHEAD_BYTES) as file,
        pq.ParquetFile(file, buffer_size=_BUFFER_BYTES) as parquet,
    ):
        yield parquet
