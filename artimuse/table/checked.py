"""Parquet files of our own: written with a checksum in every page, and read with everything checked."""

import base64
from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

WRITE_OPTIONS = {"compression": "zstd", "write_page_checksum": True}
"""For `write_table` and `ParquetWriter`."""
DAMAGED = (OSError, ValueError, KeyError, pa.ArrowException)
"""What is raised for files that are not Parquet, not whole, or not as they were written."""

_SCHEMA_KEY = b"ARROW:schema"


def open_checked(file: BinaryIO) -> pq.ParquetFile:
    """The file, whose pages are checked as they are read. Raises one of `DAMAGED`.

    Its columns stand in it twice: Parquet's own, which no checksum covers, and Arrow's.
    """
    # In this thread alone: a thread of Arrow's that lets go of a Python file while the interpreter ends aborts the
    # process (pyarrow 26).
    parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
    try:
        written = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(parquet.metadata.metadata[_SCHEMA_KEY])))
    except (KeyError, TypeError, ValueError) as error:
        raise pa.ArrowInvalid("it does not say which columns it was written with") from error
    if not parquet.schema_arrow.equals(written):
        raise pa.ArrowInvalid("its columns are not those that it was written with")
    return parquet


def read_checked(file: BinaryIO, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows, or some columns of them. Raises one of `DAMAGED`."""
    with open_checked(file) as parquet:
        return parquet.read(columns, use_threads=False)
