"""The URIs of a manifest: made absolute, and refused before the run if nothing here could ever fetch them."""

import os
import posixpath

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.errors import BadInput
from artimuse.io.location import file_uri, local_path

_IS_ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)"
_SCHEME = r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
_IS_HTTP = r"(?i)^https?://"
# Behind `::` fsspec chains file systems, and would fetch what is refused here.
_IS_HTTP_INSIDE = r"(?i)::https?://"


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
    """Raises BadInput for http(s) unless it is allowed, and for schemes that fsspec cannot open here."""
    is_http = pc.match_substring_regex(uris, _IS_HTTP_INSIDE if allow_http else f"{_IS_HTTP}|{_IS_HTTP_INSIDE}")
    if pc.any(is_http).as_py():
        row = pc.index(is_http, True).as_py()
        refused = "inside another URL, which is not fetched" if allow_http else "and those are not fetched"
        raise BadInput(
            f"{location}: {uris[row]} in row {first_row + row} is an http(s) URL, {refused}. Download the "
            "images first, put them where fsspec can read them in bulk, such as s3://, or give --allow-http."
        )
    schemes = pc.struct_field(pc.extract_regex(uris, _SCHEME), 0)
    for scheme in pc.unique(schemes.drop_null()).to_pylist():
        try:
            fsspec.get_filesystem_class(scheme)
        except (ValueError, ImportError) as error:
            raise BadInput(f"{location}: {scheme}:// URLs cannot be read here ({error})") from error


def _resolve(location: str, uri: str) -> str:
    path = local_path(location)
    if path is not None:
        return file_uri(os.path.join(os.path.dirname(path), uri))  # noqa: PTH118, PTH120 - pathlib drops `.` and is slow
    scheme, _, key = location.partition("://")
    joined = posixpath.join(posixpath.dirname(key), uri)
    # An object store takes `..` literally, a person writing a manifest does not.
    return f"{scheme}://{posixpath.normpath(joined) if {'.', '..'} & set(uri.split('/')) else joined}"
