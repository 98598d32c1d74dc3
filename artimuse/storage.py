"""Where bytes live: a local directory or a prefix of an object store, behind the few operations a run needs."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from artimuse.errors import ArtiMuseError, BadOutput
from artimuse.remote.read import open_remote

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNFINISHED_SUFFIX = ".unfinished"


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory or an object-store prefix. Small and picklable, so that every worker can carry it.

    Names are relative, with `/`. Whatever the storage refuses is BadOutput with the place and the reason.
    """

    filesystem: AbstractFileSystem
    root: str

    @classmethod
    def at(cls, place: str) -> "Folder":
        """The folder at a path or an fsspec URL. Creates nothing; local paths become absolute."""
        path = local_path(place)
        if path is not None:
            return cls(LocalFileSystem(), str(Path(path).expanduser().absolute()))
        try:
            filesystem, root = url_to_fs(place)
        except (ValueError, ImportError) as error:
            raise BadOutput(f"{place}: not a place this installation can reach ({error})") from error
        return cls(filesystem, root.rstrip("/"))

    def __truediv__(self, name: str) -> "Folder":
        return Folder(self.filesystem, self._path(name))

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, LocalFileSystem)

    def url(self, name: str = "") -> str:
        """For messages, and for anyone who takes a path or an fsspec URL."""
        path = self._path(name)
        return path if self.is_local else str(self.filesystem.unstrip_protocol(path))

    def write(self, name: str, data: bytes) -> None:
        """Makes the whole file appear in one step, in place of any earlier one: a reader never sees half of it."""
        with self._explained(name, "written"):
            if self.is_local:
                _write_local(Path(self._path(name)), data)
            else:
                # One PUT, or one multipart upload that is completed at its end.
                self.filesystem.pipe_file(self._path(name), data)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local path for a file that may be larger than memory; like `write`, it appears in one step, on leaving."""
        if self.is_local:
            with self._explained(name, "written"), _appearing(Path(self._path(name))) as path:
                yield path
        else:
            with tempfile.TemporaryDirectory(prefix="artimuse-") as place:
                path = Path(place) / PurePosixPath(name).name
                yield path
                with self._explained(name, "written"):
                    self.filesystem.put_file(str(path), self._path(name))

    def local_copy(self, name: str, directory: Path) -> Path:
        """The file itself if it is on this machine, else a copy in the directory."""
        if self.is_local:
            return Path(self._path(name))
        copy = directory / name
        with self._explained(name, "read"):
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.filesystem.get_file(self._path(name), str(copy))
        return copy

    def read(self, name: str) -> bytes:
        with self._explained(name, "read"):
            return cast(bytes, self.filesystem.cat_file(self._path(name)))

    def open(self, name: str) -> BinaryIO:
        """A seekable file to read parts of."""
        with self._explained(name, "read"):
            return cast(BinaryIO, self.filesystem.open(self._path(name), "rb"))

    def exists(self, name: str) -> bool:
        path = self._path(name)
        with self._explained(name, "looked up"):
            self.filesystem.invalidate_cache(path)  # other processes write here too
            try:
                # Not `filesystem.exists`: that calls a place it cannot reach absent.
                self.filesystem.info(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def size(self, name: str) -> int:
        """Bytes."""
        with self._explained(name, "looked up"):
            return int(self.filesystem.size(self._path(name)))

    def names(self, subfolder: str = "", *, prefix: str = "") -> list[str]:
        """Sorted base names of the files directly inside that start with the prefix; none without the subfolder."""
        path = self._path(subfolder)
        with self._explained(subfolder, "listed"):
            self.filesystem.invalidate_cache(path)
            try:
                found = _local_names(path) if self.is_local else self._remote_names(path, prefix)
            except FileNotFoundError:
                return []
        return sorted(name for name in found if name.startswith(prefix) and not name.endswith(_UNFINISHED_SUFFIX))

    def remove(self, name: str) -> None:
        """Does nothing if there is no such file."""
        with self._explained(name, "removed"), suppress(FileNotFoundError):
            self.filesystem.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _remote_names(self, path: str, prefix: str) -> list[str]:
        if prefix and "s3" in self.filesystem.protocol:
            # The store itself filters: a listing of everything may be a thousand requests.
            return [PurePosixPath(key).name for key in self.filesystem.find(path, prefix=prefix)]
        entries = self.filesystem.ls(path, detail=True)
        # Some tools mark a folder with an empty object of the folder's own name.
        is_marker = {path, f"{path}/"}.__contains__
        return [
            PurePosixPath(entry["name"]).name
            for entry in entries
            if entry["type"] == "file" and not is_marker(entry["name"])
        ]

    @contextmanager
    def _explained(self, name: str, deed: str) -> Iterator[None]:
        try:
            yield
        except ArtiMuseError:
            raise  # of whoever makes what is written
        except Exception as error:  # process boundary: every filesystem raises kinds of its own
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise BadOutput(f"{self.url(name)}: cannot be {deed} ({reason})") from error


def local_path(place: str) -> str | None:
    """The path that `place` names on this machine; None for a URL of anything else.

    `file://` URIs are percent-decoded to exact bytes, so that names that are not UTF-8 survive in a table.
    """
    if place.startswith("file://"):
        return os.fsdecode(unquote_to_bytes(place.removeprefix("file://")))
    return None if _URL.match(place) else place


def open_file(place: str, *, read_ahead_bytes: int = 2**20) -> BinaryIO:
    """A seekable file to read, from a path or an fsspec URL. Raises what the storage raises, after retries."""
    path = local_path(place)
    if path is not None:
        return Path(path).open("rb")
    if place.startswith(("http://", "https://")):
        # Web servers need not know ranges.
        filesystem, remote = url_to_fs(place)
        return cast(BinaryIO, filesystem.open(remote, "rb"))
    return open_remote(place, read_ahead_bytes=read_ahead_bytes)


def _write_local(path: Path, data: bytes) -> None:
    with _appearing(path) as unfinished:
        unfinished.write_bytes(data)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:12]}{_UNFINISHED_SUFFIX}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            # Without this a power cut can leave the final name on an empty file. The rename itself may be lost:
            # then the file was never written, which every reader can live with.
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _local_names(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_file()]
