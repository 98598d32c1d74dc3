"""Rows for whole files: ids and URIs that are valid text whatever bytes a file name holds."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import quote

import pyarrow as pa

from artimuse.schema import IMAGE_ID, URI

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


def below(root: str, path: str) -> str:
    """The place of a path relative to `root`. Keys may begin with `/`, and then no path function may join them."""
    return f"{root.rstrip('/')}/{path}"


def file_uri(path: str) -> str:
    """The path itself, or for a name that is not UTF-8 a `file://` URI that `storage.local_path` turns back."""
    return path if _is_text(path) else "file://" + quote(os.fsencode(path))


def printable(path: str) -> str:
    """The name as text; bytes that are none as `\\xff`."""
    return path if _is_text(path) else os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_text(path: str) -> bool:
    """False if bytes of the name could not be decoded: Python keeps those as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
