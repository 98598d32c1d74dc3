"""The image in one cell of a Parquet file, for readers that go through the rows in their order."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artimuse.io.stores import open_file

IMAGE_COLUMNS = ("image", "jpg", "png", "webp", "bytes")
"""The columns that may hold images, in the order of preference."""
ID_COLUMN = "image_id"
"""The column with ids of the rows' own."""
SLICE_BYTES = 32 * 2**20
"""About as much of a column is in memory at a time, however large its row groups are."""
MAX_SLICE_ROWS = 1024

_BUFFER_BYTES = 2**20
_READ_AHEAD_BYTES = 64 * 2**10

_Slice = tuple[pa.Array, pa.Array | None]  # images, and the rows' own ids if there are any
_NOTHING: _Slice = (pa.nulls(0), None)

_lock = Lock()
_latest: "list[ParquetCells]" = []


def image_leaf(field: pa.Field) -> str | None:
    """What to read of a column that holds images: itself, or the `bytes` of its struct. None: it holds none."""
    if pa.types.is_struct(field.type):
        index = field.type.get_field_index("bytes")
        return f"{field.name}.bytes" if index >= 0 and _is_bytes(field.type.field(index).type) else None
    return field.name if _is_bytes(field.type) else None


def _is_bytes(kind: pa.DataType) -> bool:
    """True also for lists of small integers, as pandas and Spark write `bytearray` and `array<byte>`."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(kind.value_type in (pa.uint8(), pa.int8()))
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in kinds)


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in one row of a Parquet file."""

    data: bytes | None
    """The image; None for a null."""
    image_id: str | None
    """The row's own id, if the file has a column `image_id`."""


def read_cell(location: str, column: str, row: int) -> Cell:
    """One file stays open per process, because neighbouring rows follow each other. Raises as `ParquetCells`."""
    with _lock:
        if _latest and (_latest[-1].location, _latest[-1].column) != (location, column):
            _latest.pop().close()
        if not _latest:
            _latest.append(ParquetCells(location, column))
        try:
            return _latest[-1].read(row)
        except Exception:
            # What a failed read leaves behind is not to be read on.
            _latest.pop().close()
            raise


def close_file() -> None:
    """Closes the file that `read_cell` keeps open."""
    with _lock:
        while _latest:
            _latest.pop().close()


class ParquetCells:
    """One column of one file. Rows that follow each other are read once, slice by slice."""

    def __init__(self, location: str, column: str) -> None:
        """`column` is a leaf, as of `image_leaf`. Raises what the storage or the file's reader raises."""
        self.location = location
        self.column = column
        self._file = open_file(location, read_ahead_bytes=_READ_AHEAD_BYTES)
        self._parquet = pq.ParquetFile(
            self._file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
        metadata = self._parquet.metadata
        groups = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(accumulate(groups, initial=0))
        self._slices: Iterator[_Slice] = iter(())
        self._slice = _NOTHING
        self._first_row = 0
        has_ids = ID_COLUMN in self._parquet.schema_arrow.names
        self._id_column = [ID_COLUMN] if has_ids and column != ID_COLUMN else []

    def read(self, row: int) -> Cell:
        """Raises IndexError beyond the end."""
        if not 0 <= row < self._starts[-1]:
            raise IndexError(f"row {row} of a file with {self._starts[-1]} rows")
        group = bisect_right(self._starts, row) - 1
        goes_on = self._first_row <= row and self._starts[group] <= self._first_row
        if not (goes_on and self._advance_to(row)):
            self._slices, self._slice, self._first_row = self._slices_of(group), _NOTHING, self._starts[group]
            self._advance_to(row)
        images, ids = self._slice
        position = row - self._first_row
        return Cell(_as_bytes(images[position]), None if ids is None else str(ids[position].as_py()))

    def close(self) -> None:
        self._parquet.close()
        self._file.close()

    def _advance_to(self, row: int) -> bool:
        """Reads on within the row group; False if that ends before."""
        while row >= self._first_row + len(self._slice[0]):
            following = next(self._slices, None)
            if following is None:
                return False
            self._first_row += len(self._slice[0])
            self._slice = following
        return True

    def _slices_of(self, group: int) -> Iterator[_Slice]:
        metadata = self._parquet.metadata.row_group(group)
        sizes = {
            metadata.column(index).path_in_schema: metadata.column(index).total_uncompressed_size
            for index in range(metadata.num_columns)
        }
        num_bytes = sum(size for path, size in sizes.items() if f"{path}.".startswith(f"{self.column}."))
        num_rows = min(MAX_SLICE_ROWS, max(1, SLICE_BYTES * metadata.num_rows // max(1, num_bytes)))
        columns = [self.column, *self._id_column]
        for batch in self._parquet.iter_batches(num_rows, row_groups=[group], columns=columns):
            ids = batch.column(ID_COLUMN) if self._id_column else None
            [images] = [batch.column(name) for name in batch.schema.names if name not in self._id_column]
            yield pc.struct_field(images, "bytes") if pa.types.is_struct(images.type) else images, ids


def _as_bytes(cell: pa.Scalar) -> bytes | None:
    if not cell.is_valid:
        return None
    if isinstance(cell, pa.ListScalar):
        return bytes(cell.values.to_numpy(zero_copy_only=False).tobytes())
    return bytes(cell.as_py())
