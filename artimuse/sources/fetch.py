"""The bytes of one image, from wherever its row of the plan points: all of them, or an error of the row."""

import tarfile
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import ErrorCode, RowError
from artimuse.images.decode import too_large
from artimuse.remote.http import is_http, read_http
from artimuse.remote.read import TooLarge, read_file, read_range
from artimuse.remote.retries import CutShort, describe
from artimuse.sources.location import Location
from artimuse.sources.parquet_cells import read_cell
from artimuse.storage import local_path

_MAX_MESSAGE_CHARS = 300


def fetch(location: Location, limits: DecodeLimits) -> bytes | RowError:
    """Reads a file, tar member or Parquet cell, local or on any fsspec URL. Never raises: all errors are the row's.

    Sizes are checked first, so that a file over the limit costs no memory; what a store may answer differently the
    next time is tried again (`remote.retries`).
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
    except Exception as error:  # noqa: BLE001 - row boundary: every filesystem raises kinds of its own
        return _row_error("io_error", describe(error))


def _fetch_file(uri: str, limits: DecodeLimits) -> bytes | RowError:
    path = local_path(uri)
    if path is not None:
        return _fetch_local(Path(path), limits)
    if is_http(uri):
        return read_http(uri, limits.http, max_bytes=limits.max_bytes)
    return read_file(uri, max_bytes=limits.max_bytes)


def _fetch_local(path: Path, limits: DecodeLimits) -> bytes | RowError:
    status = path.stat()
    if S_ISDIR(status.st_mode):
        raise IsADirectoryError
    if not S_ISREG(status.st_mode):
        # Opening a pipe would wait for a writer that may never come.
        return _row_error("io_error", "neither a file nor a link to one")
    if status.st_size > limits.max_bytes:
        return too_large(status.st_size, limits)
    return path.read_bytes()


def _fetch_member(location: Location, limits: DecodeLimits) -> bytes | RowError:
    """With the header before it, which tells whether this is still the tar that was planned."""
    assert location.offset is not None
    assert location.length is not None
    if location.length > limits.max_bytes:
        return too_large(location.length, limits)
    block = _read_range(location.container, location.offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + location.length)
    try:
        header = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        is_planned = header.size == location.length
    except tarfile.TarError:
        is_planned = False
    if not is_planned:
        return _row_error("io_error", f"the tar has changed: no member of {location.length} bytes is here any more")
    return block[tarfile.BLOCKSIZE :]


def _read_range(place: str, start: int, length: int) -> bytes:
    path = local_path(place)
    if path is None:
        return read_range(place, start, length)
    with Path(path).open("rb") as file:
        file.seek(start)
        data = file.read(length)
    if len(data) < length:
        raise CutShort(f"the file ends at byte {start + len(data)}, before the image does")
    return data


def _fetch_cell(location: Location, limits: DecodeLimits) -> bytes | RowError:
    assert location.offset is not None
    assert location.column is not None
    data = read_cell(location.container, location.column, location.offset)
    if data is None:
        return _row_error("not_found", f"no bytes in `{location.column}` of this row")
    return too_large(len(data), limits) if len(data) > limits.max_bytes else data


def _row_error(code: ErrorCode, message: str) -> RowError:
    # Messages may quote a file name that is not UTF-8, and whole pages of a server's answer.
    printable = message.encode("utf-8", "backslashreplace").decode()
    return RowError(code, printable[:_MAX_MESSAGE_CHARS])
