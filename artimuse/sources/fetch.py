"""The bytes of one image, from wherever its URI points."""

from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import cast

from fsspec.core import url_to_fs

from artimuse.configs import DecodeLimits
from artimuse.errors import ErrorCode, RowError
from artimuse.images import too_large
from artimuse.storage import local_path

_MAX_MESSAGE_CHARS = 300


def fetch(uri: str, limits: DecodeLimits) -> bytes | RowError:
    """Reads a local path, a `file://` URI or any fsspec URL. Never raises: what goes wrong is this row's error.

    The size is checked first, so that a file over the limit costs no memory.
    """
    try:
        path = local_path(uri)
        return _fetch_remote(uri, limits) if path is None else _fetch_local(Path(path), limits)
    except (FileNotFoundError, NotADirectoryError):
        return _row_error("not_found", "no such file")
    except IsADirectoryError:
        return _row_error("not_found", "a directory, not a file")
    except PermissionError as error:
        return _row_error("access_denied", error.strerror or str(error))
    except Exception as error:  # noqa: BLE001 - row boundary: every filesystem raises kinds of its own
        return _row_error("io_error", f"{type(error).__name__}: {error}")


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


def _fetch_remote(uri: str, limits: DecodeLimits) -> bytes | RowError:
    filesystem, path = url_to_fs(uri)
    info = filesystem.info(path)
    if info["type"] == "directory":
        raise IsADirectoryError
    num_bytes = info["size"]
    if num_bytes is None:
        # Some servers do not tell; the decoder refuses what is over the limit.
        return cast(bytes, filesystem.cat_file(path, end=limits.max_bytes + 1))
    if num_bytes > limits.max_bytes:
        return too_large(num_bytes, limits)
    return cast(bytes, filesystem.cat_file(path))


def _row_error(code: ErrorCode, message: str) -> RowError:
    # Messages may quote a file name that is not UTF-8, and whole pages of a server's answer.
    printable = message.encode("utf-8", "backslashreplace").decode()
    return RowError(code, printable[:_MAX_MESSAGE_CHARS])
