"""A run's output: a local directory or a prefix of an object store, behind the few operations a run needs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pyarrow import PythonFile
from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

from artimuse.errors import ArtiMuseError, BadOutput
from artimuse.io.local import UNFINISHED_SUFFIX, appearing
from artimuse.io.location import local_path
from artimuse.io.retries import describe
from artimuse.io.store import Store
from artimuse.io.stores import open_store

READ_AHEAD_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory or an object-store prefix. Small and picklable, for workers.

    Names are relative, with `/`. Whatever the storage refuses is BadOutput with the location and the reason.
    """

    root: str
    """An absolute path, or a URL."""

    @classmethod
    def at(cls, location: str) -> "Folder":
        """The folder at a path or URL. Creates nothing; local paths become absolute."""
        path = local_path(location)
        if path is not None:
            return cls(str(Path(path).expanduser().absolute()))
        try:
            open_store(location)
        except (ValueError, ImportError) as error:
            raise BadOutput(f"{location}: not a location this installation can reach ({error})") from error
        return cls(location.rstrip("/"))

    def __truediv__(self, name: str) -> "Folder":
        return Folder(self.url(name))

    @property
    def is_local(self) -> bool:
        return local_path(self.root) is not None

    @property
    def arrow_filesystem(self) -> FileSystem:
        """The file system for Arrow, which then reads as we do. Its paths are those of `path`."""
        return LocalFileSystem() if self.is_local else PyFileSystem(_OurReads(self._store))

    def url(self, name: str = "") -> str:
        """The path or URL, for messages and for anyone who takes one."""
        return f"{self.root}/{name}" if name else self.root

    def path(self, name: str = "") -> str:
        """The path as the file system has it: without the scheme."""
        return open_store(self.url(name))[1]

    def write(self, name: str, data: bytes) -> None:
        """Makes the whole file appear in one step, in place of any earlier one: a reader never sees half of it."""
        with self._explained(name, "written"):
            self._store.write(self.path(name), data)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local path for a file that may be larger than memory; like `write`, it appears in one step, on leaving."""
        if self.is_local:
            with self._explained(name, "written"), appearing(Path(self.path(name))) as path:
                yield path
        else:
            with tempfile.TemporaryDirectory(prefix="artimuse-") as directory:
                path = Path(directory) / PurePosixPath(name).name
                yield path
                with self._explained(name, "written"):
                    self._store.upload(path, self.path(name))

    def local_copy(self, name: str, directory: Path) -> Path:
        """The file itself if it is on this machine, else a copy in the directory."""
        if self.is_local:
            return Path(self.path(name))
        copy = directory / name
        with self._explained(name, "read"):
            copy.parent.mkdir(parents=True, exist_ok=True)
            self._store.download(self.path(name), copy)
        return copy

    def read(self, name: str) -> bytes:
        with self._explained(name, "read"):
            return self._store.read(self.path(name))

    def open(self, name: str) -> BinaryIO:
        """A seekable file to read parts of."""
        with self._explained(name, "read"):
            return self._store.open(self.path(name), read_ahead_bytes=READ_AHEAD_BYTES)

    def exists(self, name: str) -> bool:
        with self._explained(name, "looked up"):
            return self._store.exists(self.path(name))

    def size(self, name: str) -> int:
        """The size in bytes."""
        with self._explained(name, "looked up"):
            return self._store.size(self.path(name))

    def names(self, subfolder: str = "", *, prefix: str = "") -> list[str]:
        """Sorted base names of the files directly inside that start with the prefix; none without the subfolder."""
        with self._explained(subfolder, "listed"):
            names = self._store.names(self.path(subfolder), prefix=prefix)
        return sorted(name for name in names if not name.endswith(UNFINISHED_SUFFIX))

    def entries(self) -> list[str]:
        """Sorted base names of the files and folders directly inside; none without the folder itself."""
        with self._explained("", "listed"):
            try:
                found = self._store.entries(self.path())
            except FileNotFoundError:
                return []
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in found)

    def remove(self, name: str) -> None:
        """Does nothing if there is no such file."""
        with self._explained(name, "removed"):
            self._store.remove(self.path(name))

    @property
    def _store(self) -> Store:
        return open_store(self.root)[0]

    @contextmanager
    def _explained(self, name: str, deed: str) -> Iterator[None]:
        try:
            yield
        except ArtiMuseError:
            raise  # of whoever makes what is written
        except Exception as error:  # process boundary: every filesystem raises kinds of its own
            reason = getattr(error, "strerror", None) or describe(error)
            raise BadOutput(f"{self.url(name)}: cannot be {deed} ({reason})") from error


class _OurReads(FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    """Reads through the store, whose retries Arrow does not have."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.filesystem)
        self.store = store

    def open_input_file(self, path: str) -> PythonFile:
        return PythonFile(self.store.open(path, read_ahead_bytes=READ_AHEAD_BYTES), mode="r")
