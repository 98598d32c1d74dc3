"""The disks of this machine: whole files in one step, and walks in an order that does not change."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from artimuse.errors import BadInput
from artimuse.io.patterns import Matcher, Pattern
from artimuse.io.retries import CutShort, FinalAnswer
from artimuse.io.store import Store, TooLarge

UNFINISHED_SUFFIX = ".unfinished"


class NotAFile(FinalAnswer):
    """A pipe or a device: opening it would wait for a writer that may never come."""


class LocalStore(Store):
    """Nothing is tried again: what a disk says, it says the next time as well."""

    def __init__(self) -> None:
        super().__init__(LocalFileSystem())

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        status = Path(path).stat()
        if S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not S_ISREG(status.st_mode):
            raise NotAFile("neither a file nor a link to one")
        if max_bytes is not None and status.st_size > max_bytes:
            raise TooLarge(status.st_size)
        return Path(path).read_bytes()

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with Path(path).open("rb") as file:
            file.seek(start)
            data = file.read(length)
        if len(data) < length:
            raise CutShort(f"the file ends at byte {start + len(data)}, before the image does")
        return data

    def size(self, path: str) -> int:
        return Path(path).stat().st_size

    def open(self, path: str, *, read_ahead_bytes: int) -> BinaryIO:
        return Path(path).open("rb")

    def exists(self, path: str) -> bool:
        try:
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: str, *, prefix: str = "") -> list[str]:
        try:
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except FileNotFoundError:
            return []
        return [name for name in names if name.startswith(prefix)]

    def find(self, path: str, pattern: Pattern) -> Iterator[str]:
        """Paths of all non-directories below that match, relative to it, with `/`.

        Hidden names match only a segment that starts with a dot. The files of a directory come before its
        subdirectories, each sorted by name, so that memory is bounded by the largest directory. Symlinked directories
        are entered, except into one that is being visited. Raises BadInput for a directory that cannot be listed: its
        images would be lost.
        """
        matcher = Matcher(pattern)
        # A stack, not recursion: trees may be deeper than Python's call stack.
        pending = [("", matcher.start, frozenset[tuple[int, int]]())]
        while pending:
            inside, above, ancestors = pending.pop()
            identity, entries = _list_directory(path, inside)
            if identity in ancestors:
                continue
            files, directories = [], []
            for entry in entries:
                reached = matcher.enter(above, entry.name)
                if not _is_directory(entry):
                    if matcher.is_end(reached):
                        files.append(inside + entry.name)
                elif matcher.may_go_on(reached):
                    directories.append((f"{inside}{entry.name}/", reached, ancestors | {identity}))
            del entries
            yield from sorted(files)
            pending += sorted(directories, key=lambda directory: directory[0], reverse=True)

    def write(self, path: str, data: bytes) -> None:
        with appearing(Path(path)) as unfinished:
            unfinished.write_bytes(data)

    def upload(self, local: Path, path: str) -> None:
        with appearing(Path(path)) as unfinished:
            shutil.copyfile(local, unfinished)

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:12]}{UNFINISHED_SUFFIX}")
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


def _list_directory(root: str, inside: str) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """Device and inode, which tell a loop of symlinks, and the entries."""
    path = f"{root}/{inside}"
    try:
        with os.scandir(path) as entries:
            status = Path(path).stat()
            return (status.st_dev, status.st_ino), list(entries)
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be listed ({error.strerror}). Make it readable, or give a glob or a manifest without it."
        ) from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a symlink to nowhere or to itself: fetching it tells why
