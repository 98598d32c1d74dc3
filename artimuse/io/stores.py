"""From a path or URL to the store that it is in. To add a kind of store: one file, and its scheme in `STORES`."""

from collections.abc import Callable
from typing import BinaryIO, cast

from fsspec.core import url_to_fs

from artimuse.io.local import LocalStore
from artimuse.io.location import local_path
from artimuse.io.s3 import S3Store
from artimuse.io.store import Store


class WebStore(Store):
    """A web server, which need not know ranges. Images on one are `http.py`'s."""

    def open(self, path: str, *, read_ahead_bytes: int) -> BinaryIO:
        return cast(BinaryIO, self.filesystem.open(path, "rb"))


STORES: dict[str, Callable[[], Store]] = {"s3": S3Store, "s3a": S3Store}
"""By scheme, the stores with a file system of their own; any other is fsspec's."""
_LOCAL = LocalStore()
_WEB = ("http", "https")


def open_store(location: str) -> tuple[Store, str]:
    """The store of a path or URL, and the path in it.

    Raises ValueError or ImportError for a scheme that cannot be read here.
    """
    local = local_path(location)
    if local is not None:
        return _LOCAL, local
    scheme, _, path = location.partition("://")
    if scheme in STORES:
        # Not fsspec's own parsing: to that, `::` in a key chains two file systems.
        return STORES[scheme](), path
    filesystem, path = url_to_fs(location) if "::" in location else url_to_fs(location, use_listings_cache=False)
    return (WebStore if scheme in _WEB else Store)(filesystem), path


def open_file(location: str, *, read_ahead_bytes: int = 2**20) -> BinaryIO:
    """A seekable file to read, from a path or URL. Raises what the storage raises, after retries."""
    store, path = open_store(location)
    return store.open(path, read_ahead_bytes=read_ahead_bytes)
