"""Visiting a local directory tree by a pattern: every file once, in an order that does not change."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from artimuse.errors import BadInput

ANY_DEPTH = "**"

Pattern = tuple[str, ...]
"""One segment per level, as in a shell; `**` stands for any number of levels."""


def walk(root: str, pattern: Pattern) -> Iterator[str]:
    """Paths of all non-directories below `root` that match, relative to it, with `/`.

    Hidden names match only a segment that starts with a dot. The files of a directory come before its subdirectories,
    each sorted by name, so that memory is bounded by the largest directory. Symlinked directories are entered, except
    into one that is being visited. Raises BadInput for a directory that cannot be listed: its images would be lost.
    """
    pattern = (*pattern, "*") if pattern[-1] == ANY_DEPTH else pattern
    matched = len(pattern)
    # A stack, not recursion: trees may be deeper than Python's call stack.
    pending = [("", _with_any_depth(pattern, {0}), frozenset[tuple[int, int]]())]
    while pending:
        inside, used, ancestors = pending.pop()
        identity, entries = _list_directory(root, inside)
        if identity in ancestors:
            continue
        files, directories = [], []
        for entry in entries:
            reached = _match_name(pattern, used, entry.name)
            if not _is_directory(entry):
                if matched in reached:
                    files.append(inside + entry.name)
            elif any(num_segments < matched for num_segments in reached):
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


def _match_name(pattern: Pattern, used: frozenset[int], name: str) -> frozenset[int]:
    """How many segments may be used up below `name`, given how many may be above it."""
    reached = set()
    for num_segments in used:
        if num_segments == len(pattern):
            continue
        segment = pattern[num_segments]
        if name.startswith(".") and not segment.startswith("."):
            continue
        if segment == ANY_DEPTH:
            reached.add(num_segments)
        elif fnmatchcase(name, segment):
            reached.add(num_segments + 1)
    return _with_any_depth(pattern, reached)


def _with_any_depth(pattern: Pattern, used: set[int]) -> frozenset[int]:
    """Adds that each `**` may stand for no level at all."""
    for num_segments, segment in enumerate(pattern):
        if segment == ANY_DEPTH and num_segments in used:
            used.add(num_segments + 1)
    return frozenset(used)
