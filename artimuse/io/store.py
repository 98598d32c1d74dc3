"""A file system of fsspec behind the few operations that are needed of it, each tried again if it may pass."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem

from artimuse.io.patterns import Matcher, Pattern
from artimuse.io.retries import FinalAnswer, whole, with_retries


class TooLarge(FinalAnswer):
    """A file over the limit, of which nothing was read."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(f"{num_bytes} bytes")
        self.num_bytes = num_bytes


class Store:
    """Paths are as fsspec has them, without the scheme.

    Raises FileNotFoundError and PermissionError, GaveUp after several tries, or what the file system raises.
    `local.py` and `s3.py` do some of it in a way of their own.
    """

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self.filesystem = filesystem

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """The whole file. Raises TooLarge before reading."""
        return with_retries(lambda: self._read(path, max_bytes))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        if not length:
            return b""
        return with_retries(lambda: whole(self.filesystem.cat_file(path, start=start, end=start + length), length))

    def size(self, path: str) -> int:
        """The size in bytes, as the store tells it."""
        return int(with_retries(lambda: self._file_info(path))["size"])

    def open(self, path: str, *, read_ahead_bytes: int) -> BinaryIO:
        """A seekable file that reads only what is asked for and a little ahead."""
        return cast(BinaryIO, io.BufferedReader(_RangeFile(self, path), read_ahead_bytes))

    def exists(self, path: str) -> bool:
        try:
            # Not `filesystem.exists`: that calls a location that it cannot reach absent.
            with_retries(lambda: self._fresh_info(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def entries(self, path: str) -> list[dict[str, Any]]:
        """What is directly inside a directory, as fsspec describes it, listed again."""

        def fresh() -> list[dict[str, Any]]:
            self.filesystem.invalidate_cache(path)
            found = self.filesystem.ls(path, detail=True)
            # Some tools mark a folder with an empty object of the folder's own name.
            return [entry for entry in found if entry["name"].rstrip("/") != path.rstrip("/")]

        return with_retries(fresh)

    def names(self, path: str, *, prefix: str = "") -> list[str]:
        """Base names of the files directly inside that start with the prefix; none without the directory."""
        try:
            entries = self.entries(path)
        except FileNotFoundError:
            return []
        names = [PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == "file"]
        return [name for name in names if name.startswith(prefix)]

    def find(self, path: str, pattern: Pattern) -> Iterator[str]:
        """Paths of all files below that match, relative to it: directory by directory, files first, each sorted."""
        matcher = Matcher(pattern)
        pending = [(path.rstrip("/"), "", matcher.start)]
        while pending:
            directory, inside, above = pending.pop()
            files, directories = [], []
            for entry in self.entries(directory):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                reached = matcher.enter(above, name)
                if entry["type"] == "directory":
                    if matcher.may_go_on(reached):
                        directories.append((entry["name"], f"{inside}{name}/", reached))
                elif matcher.is_end(reached):
                    files.append(inside + name)
            yield from sorted(files)
            pending += sorted(directories, key=lambda level: level[1], reverse=True)

    def write(self, path: str, data: bytes) -> None:
        """The whole file in one step: one PUT, or one multipart upload that is completed at its end."""
        with_retries(lambda: self.filesystem.pipe_file(path, data))

    def upload(self, local: Path, path: str) -> None:
        """Does what `write` does, for a file that may be larger than memory."""
        with_retries(lambda: self.filesystem.put_file(str(local), path))

    def download(self, path: str, local: Path) -> None:
        with_retries(lambda: self.filesystem.get_file(path, str(local)))

    def remove(self, path: str) -> None:
        """Does nothing if there is no such file."""
        with suppress(FileNotFoundError):
            with_retries(lambda: self.filesystem.rm_file(path))

    def _read(self, path: str, max_bytes: int | None) -> bytes:
        num_bytes = self._file_info(path)["size"]
        if num_bytes is None:
            # Some servers do not tell; the decoder refuses what is over the limit.
            return cast(bytes, self.filesystem.cat_file(path, end=None if max_bytes is None else max_bytes + 1))
        if max_bytes is not None and num_bytes > max_bytes:
            raise TooLarge(num_bytes)
        # As a range: to read a whole file s3fs and others fill a buffer of the right size, however little arrives.
        return whole(self.filesystem.cat_file(path, start=0, end=num_bytes), num_bytes) if num_bytes else b""

    def _file_info(self, path: str) -> dict[str, Any]:
        info = cast(dict[str, Any], self.filesystem.info(path))
        if info["type"] == "directory":
            raise IsADirectoryError(path)
        return info

    def _fresh_info(self, path: str) -> object:
        self.filesystem.invalidate_cache(path)  # other processes write here too
        return self.filesystem.info(path)


class _RangeFile(io.RawIOBase):
    """A file of a store as ranges of it."""

    def __init__(self, store: Store, path: str) -> None:
        self.store = store
        self.path = path
        self.size = store.size(path)
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, origin + offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self.size - self.position))
        buffer[:length] = self.store.read_range(self.path, self.position, length)
        self.position += length
        return length
