"""The URIs of a manifest: made absolute, and refused before the run if nothing here could ever fetch them."""

import os
import posixpath
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.errors import BadInput
from artimuse.io.location import file_uri, local_path

_IS_ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)"
_SCHEME = r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
_IS_HTTP = r"(?i)^https?://"
_HTTP = ("http", "https")
# Behind `::` fsspec chains file systems, and would reach what is refused here.
_IS_CHAINED = r"::[A-Za-z][A-Za-z0-9+.-]*://"
SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory")
"""Of URIs in tables. fsspec knows many others, by some of which whoever writes a table could reach any server."""
_LISTED = ", ".join(f"{scheme}://" for scheme in SCHEMES)


def absolute_uris(location: str, uris: pa.Array) -> pa.Array:
    """Resolves relative URIs against the directory of the manifest at `location`, an absolute path or a URL."""
    is_absolute = pc.match_substring_regex(uris, _IS_ABSOLUTE)
    if pc.all(is_absolute).as_py():
        return uris
    resolved = [
        uri if absolute else _resolve(location, uri) for uri, absolute in zip(uris.to_pylist(), is_absolute.to_pylist())
    ]
    return pa.array(resolved, pa.string())


def check_uris(location: str, uris: pa.Array, *, first_row: int, allow_http: bool = False) -> None:
    """Raises BadInput, naming the row, for http(s) unless it is allowed, and for schemes that are not read here."""

    def where(is_refused: pa.Array) -> str | None:
        row = pc.index(is_refused, True).as_py()
        if row < 0:
            return None
        uri = uris[row].as_py()
        return uri if uri == location else f"{location}: {uri} in row {first_row + row} (rows count from 0)"

    if found := where(pc.match_substring_regex(uris, _IS_CHAINED)):
        raise BadInput(f"{found} has a URL inside another one, which is not fetched")
    if not allow_http and (found := where(pc.match_substring_regex(uris, _IS_HTTP))):
        raise BadInput(
            f"{found} is an http(s) URL, and those are not fetched. Download the "
            "images first, put them where fsspec can read them in bulk, such as s3://, or give --allow-http."
        )
    schemes = pc.utf8_lower(pc.struct_field(pc.extract_regex(uris, _SCHEME), 0))
    for scheme in pc.unique(schemes.drop_null()).to_pylist():
        if scheme in _HTTP:
            continue
        found = where(pc.equal(schemes, scheme))
        if scheme not in SCHEMES:
            raise BadInput(f"{found}: URIs with {scheme}:// are not read; those that are begin with {_LISTED}")
        try:
            fsspec.get_filesystem_class(scheme)
        except (ValueError, ImportError) as error:
            raise BadInput(f"{found}: {scheme}:// URIs cannot be read here ({error})") from error


def _resolve(location: str, uri: str) -> str:
    path = local_path(location)
    if path is not None:
        if uri.startswith("~/"):
            return file_uri(str(Path(uri).expanduser()))
        return file_uri(os.path.join(os.path.dirname(path), uri))  # noqa: PTH118, PTH120 - pathlib drops `.` and is slow
    scheme, _, key = location.partition("://")
    joined = posixpath.join(posixpath.dirname(key), uri)
    # An object store takes `..` literally, a person writing a manifest does not.
    return f"{scheme}://{posixpath.normpath(joined) if {'.', '..'} & set(uri.split('/')) else joined}"
