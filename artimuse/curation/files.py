"""Files of an object store for DuckDB, read through our stores, which try again what may pass."""

from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from artimuse.io.folder import READ_AHEAD_BYTES, Folder
from artimuse.io.stores import open_store


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """All stores behind one protocol: `artimuse-s3://bucket/key` is what `s3://bucket/key` is elsewhere."""

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.scheme = scheme
        self.protocol = f"artimuse-{scheme}"

    @classmethod
    def of(cls, folder: Folder) -> "StoreFiles":
        return cls(folder.root.partition("://")[0])

    def url(self, folder: Folder, name: str) -> str:
        """The name of a file of the folder in this file system."""
        return f"artimuse-{folder.url(name)}"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        store, inside = open_store(self._real(path))
        return store.open(inside, read_ahead_bytes=READ_AHEAD_BYTES)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        store, inside = open_store(self._real(path))
        return {"name": path, "size": store.size(inside), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        store, inside = open_store(self._real(path))
        return store.exists(inside)

    def modified(self, path: str) -> datetime:
        """DuckDB asks before it takes anything from its cache, which lives no longer than one command."""
        return datetime(2000, 1, 1, tzinfo=UTC)

    def _real(self, path: str) -> str:
        return f"{self.scheme}://{path.removeprefix(f'{self.protocol}://')}"
