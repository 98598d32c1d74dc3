"""Where the bytes of one image are: a whole file, a range of a tar, or a cell of a Parquet file."""

from dataclasses import dataclass

import pyarrow as pa

from artimuse.schema import COLUMN, LENGTH, OFFSET

LOCATION_FIELDS = (OFFSET, LENGTH, COLUMN)
"""The plan's columns behind `uri`; all null for whole files."""


@dataclass(frozen=True, slots=True)
class Location:
    """A row of the plan, for `fetch`."""

    uri: str
    """A path or URL; inside containers `x.tar#member` or `x.parquet#row`."""
    offset: int | None = None
    """Of the first byte in the tar, or the row in the Parquet file. None: the file at `uri`, whatever its name."""
    length: int | None = None
    """Bytes in the tar."""
    column: str | None = None
    """Of the Parquet file: a leaf such as `image.bytes`."""

    @property
    def container(self) -> str:
        """The file that holds the image."""
        return self.uri if self.offset is None else self.uri.rpartition("#")[0]


def locations(rows: pa.Table) -> list[Location]:
    """Of rows of the plan."""
    names = ("uri", *(field.name for field in LOCATION_FIELDS))
    return [Location(*values) for values in zip(*(rows[name].to_pylist() for name in names))]
