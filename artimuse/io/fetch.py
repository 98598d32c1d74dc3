"""The bytes of one image, from wherever its row of the plan points: all of them, or an error of the row."""

import tarfile

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import ErrorCode, RowError
from artimuse.images.decode import too_large
from artimuse.io.http import is_http, read_http
from artimuse.io.local import NotAFile
from artimuse.io.location import Location
from artimuse.io.parquet_cells import read_cell
from artimuse.io.retries import describe
from artimuse.io.store import TooLarge
from artimuse.io.stores import open_store

_MAX_MESSAGE_CHARS = 300


def fetch(location: Location, limits: DecodeLimits) -> bytes | RowError:
    """Reads a file, tar member or Parquet cell, local or on any fsspec URL. Never raises: all errors are the row's.

    Sizes are checked first, so that a file over the limit costs no memory; what a store may answer differently the
    next time is tried again (`retries.py`).
    """
    try:
        if location.column is not None:
            return _fetch_cell(location, limits)
        if location.offset is not None:
            return _fetch_member(location, limits)
        return _fetch_file(location.uri, limits)
    except TooLarge as error:
        return too_large(error.num_bytes, limits)
    except (FileNotFoundError, NotADirectoryError):
        return _row_error("not_found", "no such file")
    except IsADirectoryError:
        return _row_error("not_found", "a directory, not a file")
    except PermissionError as error:
        return _row_error("access_denied", error.strerror or str(error))
    except NotAFile as error:
        return _row_error("io_error", str(error))
    except Exception as error:  # noqa: BLE001 - row boundary: every filesystem raises kinds of its own
        return _row_error("io_error", describe(error))


def _fetch_file(uri: str, limits: DecodeLimits) -> bytes:
    if is_http(uri):
        return read_http(uri, limits.http, max_bytes=limits.max_bytes)
    store, path = open_store(uri)
    return store.read(path, max_bytes=limits.max_bytes)


def _fetch_member(location: Location, limits: DecodeLimits) -> bytes | RowError:
    """The member's bytes. The header before it is read too: it tells whether this is still the tar that was planned."""
    assert location.offset is not None
    assert location.length is not None
    if location.length > limits.max_bytes:
        return too_large(location.length, limits)
    store, path = open_store(location.container)
    block = store.read_range(path, location.offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + location.length)
    try:
        header = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        is_planned = header.size == location.length
    except tarfile.TarError:
        is_planned = False
    if not is_planned:
        return _row_error("io_error", f"the tar has changed: no member of {location.length} bytes is here any more")
    return block[tarfile.BLOCKSIZE :]


def _fetch_cell(location: Location, limits: DecodeLimits) -> bytes | RowError:
    assert location.offset is not None
    assert location.column is not None
    cell = read_cell(location.container, location.column, location.offset)
    # A row without an id of its own is known by its number.
    own_id = str(location.offset) if cell.image_id is None else cell.image_id
    planned_id = location.image_id if cell.image_id is not None else (location.image_id or "").rpartition("#")[2]
    if location.image_id is not None and own_id != planned_id:
        return _row_error("io_error", f"the Parquet file has changed: its row {location.offset} is now {own_id!r}")
    data = cell.data
    if data is None:
        return _row_error("not_found", f"no bytes in `{location.column}` of this row")
    return too_large(len(data), limits) if len(data) > limits.max_bytes else data


def _row_error(code: ErrorCode, message: str) -> RowError:
    # Messages may quote a file name that is not UTF-8, and whole pages of a server's answer.
    printable = message.encode("utf-8", "backslashreplace").decode()
    return RowError(code, printable[:_MAX_MESSAGE_CHARS])
