"""The seam of this package: what every kind of collection offers."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import pyarrow as pa


class Source(Protocol):
    """A collection of images. Only `batches` reads more than a header (JSON lines are read to learn their types)."""

    @property
    def carried(self) -> pa.Schema:
        """The collection's own columns, under the names the score table stores them."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> number of files passed over; known after `batches` has ended."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows of image_id, uri, for images inside containers their location, and the carried columns.

        In bounded memory, the same in every call.

        Raises BadInput if the collection is empty or malformed.
        """
        ...
