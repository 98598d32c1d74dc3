"""The image in one cell of a Parquet file, for readers that go through the rows in their order."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artimuse.io.stores import open_file

IMAGE_COLUMNS = ("image", "jpg", "png", "webp", "bytes")
"""The columns that may hold images, in the order of preference."""
SLICE_BYTES = 32 * 2**20
"""About as much of a column is in memory at a time, however large its row groups are."""
MAX_SLICE_ROWS = 1024

_BUFFER_BYTES = 2**20
_READ_AHEAD_BYTES = 64 * 2**10

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


def read_cell(location: str, column: str, row: int) -> bytes | None:
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
        self._slices: Iterator[pa.Array] = iter(())
        self._slice = pa.nulls(0)
        self._first_row = 0

    def read(self, row: int) -> bytes | None:
        """None for a null. Raises IndexError beyond the end."""
        if not 0 <= row < self._starts[-1]:
            raise IndexError(f"row {row} of a file with {self._starts[-1]} rows")
        group = bisect_right(self._starts, row) - 1
        goes_on = self._first_row <= row and self._starts[group] <= self._first_row
        if not (goes_on and self._advance_to(row)):
            self._slices, self._slice, self._first_row = self._slices_of(group), pa.nulls(0), self._starts[group]
            self._advance_to(row)
        return _as_bytes(self._slice[row - self._first_row])

    def close(self) -> None:
        self._parquet.close()
        self._file.close()

    def _advance_to(self, row: int) -> bool:
        """Reads on within the row group; False if that ends before."""
        while row >= self._first_row + len(self._slice):
            following = next(self._slices, None)
            if following is None:
                return False
            self._first_row += len(self._slice)
            self._slice = following
        return True

    def _slices_of(self, group: int) -> Iterator[pa.Array]:
        metadata = self._parquet.metadata.row_group(group)
        sizes = {
            metadata.column(index).path_in_schema: metadata.column(index).total_uncompressed_size
            for index in range(metadata.num_columns)
        }
        num_bytes = sum(size for path, size in sizes.items() if f"{path}.".startswith(f"{self.column}."))
        num_rows = min(MAX_SLICE_ROWS, max(1, SLICE_BYTES * metadata.num_rows // max(1, num_bytes)))
        for batch in self._parquet.iter_batches(num_rows, row_groups=[group], columns=[self.column]):
            array = batch.column(0)
            yield pc.struct_field(array, "bytes") if pa.types.is_struct(array.type) else array


def _as_bytes(cell: pa.Scalar) -> bytes | None:
    if not cell.is_valid:
        return None
    if isinstance(cell, pa.ListScalar):
        return bytes(cell.values.to_numpy(zero_copy_only=False).tobytes())
    return bytes(cell.as_py())
