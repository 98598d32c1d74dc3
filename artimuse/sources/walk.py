"""Visiting a local directory tree by a pattern: every file once, in an order that does not change."""

import os
from collections.abc import Iterator
from pathlib import Path

from artimuse.errors import BadInput
from artimuse.sources.patterns import Matcher, Pattern


def walk(root: str, pattern: Pattern) -> Iterator[str]:
    """Paths of all non-directories below `root` that match, relative to it, with `/`.

    Hidden names match only a segment that starts with a dot. The files of a directory come before its subdirectories,
    each sorted by name, so that memory is bounded by the largest directory. Symlinked directories are entered, except
    into one that is being visited. Raises BadInput for a directory that cannot be listed: its images would be lost.
    """
    matcher = Matcher(pattern)
    # A stack, not recursion: trees may be deeper than Python's call stack.
    pending = [("", matcher.start, frozenset[tuple[int, int]]())]
    while pending:
        inside, above, ancestors = pending.pop()
        identity, entries = _list_directory(root, inside)
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
