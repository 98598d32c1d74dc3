"""Paths and URLs: of files, and of images inside them, as text that survives in a table."""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of one image are, for `fetch`."""

    uri: str
    """A path or URL; inside containers `x.tar#member` or `x.parquet#row`."""
    offset: int | None = None
    """The first byte in the tar, or the row in the Parquet file. None: the file at `uri`, whatever its name."""
    length: int | None = None
    """Bytes in the tar."""
    column: str | None = None
    """The column of the Parquet file: a leaf such as `image.bytes`."""
    image_id: str | None = None
    """The id that the row of the Parquet file was planned with: whoever rewrites the file may move its rows."""

    @property
    def container(self) -> str:
        """The file that holds the image."""
        return self.uri if self.offset is None else self.uri.rpartition("#")[0]


def local_path(location: str) -> str | None:
    """The path that `location` names on this machine; None for a URL of anything else.

    `file://` URIs are percent-decoded to exact bytes, so that names that are not UTF-8 survive in a table.
    """
    for scheme in ("file://", "local://"):
        if location.startswith(scheme):
            return os.fsdecode(unquote_to_bytes(location.removeprefix(scheme)))
    return None if _URL.match(location) else location


def below(root: str, path: str) -> str:
    """The location of a path relative to `root`. Keys may begin with `/`, and then no path function may join them."""
    return f"{root.rstrip('/')}/{path}"


def file_uri(path: str) -> str:
    """The path itself, or for a name that is not UTF-8 a `file://` URI that `local_path` turns back."""
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
