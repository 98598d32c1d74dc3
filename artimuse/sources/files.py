"""Rows for whole files: ids and URIs that are valid text whatever bytes a file name holds."""

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa

from artimuse.io.location import below, file_uri, printable
from artimuse.table.schema import IMAGE_ID, URI

BATCH_ROWS = 8192
"""Rows of a source's batches: some hundred kilobytes of ids and paths."""

FILE_SCHEMA = pa.schema([IMAGE_ID, URI])
CARRIED_BY_FILES = pa.schema([])


def file_batches(root: str, paths: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """One row per path relative to `root`, a path or URL: the path as the id, the whole as the URI."""
    paths = iter(paths)
    while chunk := list(islice(paths, BATCH_ROWS)):
        ids = pa.array([printable(path) for path in chunk], pa.string())
        uris = pa.array([file_uri(below(root, path)) for path in chunk], pa.string())
        yield pa.RecordBatch.from_arrays([ids, uris], schema=FILE_SCHEMA)
