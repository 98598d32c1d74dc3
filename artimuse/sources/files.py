"""Whole files as a collection: one image, a folder or object-store prefix, or a glob."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.io.listing import list_files, list_matches
from artimuse.io.location import below, file_uri, local_path, printable
from artimuse.io.patterns import EVERYTHING, split_pattern
from artimuse.sources.suffixes import count_suffix, describe_skipped, suffix_of
from artimuse.sources.uris import check_uris
from artimuse.table.schema import IMAGE_ID, URI

BATCH_ROWS = 8192
"""Rows of a source's batches: some hundred kilobytes of ids and paths."""

_FILE_SCHEMA = pa.schema([IMAGE_ID, URI])
_NO_COLUMNS = pa.schema([])


class SingleSource:
    """The id is the file's name."""

    passthrough = _NO_COLUMNS
    skipped: Mapping[str, int] = MappingProxyType({})

    def __init__(self, location: str, *, allow_http: bool = False) -> None:
        self.location = location
        self.allow_http = allow_http

    def batches(self) -> Iterator[pa.RecordBatch]:
        path = local_path(self.location)
        if path is not None:
            yield from file_batches(str(Path(path).parent), [Path(path).name])
            return
        uris = pa.array([self.location])
        check_uris(self.location, uris, first_row=0, allow_http=self.allow_http)
        yield pa.RecordBatch.from_arrays([pa.array([PurePosixPath(self.location).name]), uris], schema=_FILE_SCHEMA)


class FolderSource:
    """Hidden files and directories are left out, as a shell would. The id is the path below the folder."""

    passthrough = _NO_COLUMNS

    def __init__(self, root: str, *, suffixes: Collection[str]) -> None:
        """`root` is an absolute path or a URL."""
        self.root = root
        self.suffixes = frozenset(suffixes)
        self.skipped: Mapping[str, int] = {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        has_images = False
        for batch in file_batches(self.root, self._images()):
            has_images = True
            yield batch
        if not has_images:
            raise BadInput(f"{self.root}: no images in this folder. {self._what_is_there()}")

    def _images(self) -> Iterator[str]:
        skipped = Counter[str]()
        for path in list_files(self.root, EVERYTHING):
            if suffix_of(path) in self.suffixes:
                yield path
            else:
                count_suffix(skipped, path)
        self.skipped = dict(skipped.most_common())

    def _what_is_there(self) -> str:
        if not self.skipped:
            return "It holds no files."
        found = "; ".join(f"{what}: {names}" for what, names in describe_skipped(self.skipped))
        return f"It holds files that are {found}. Images are named {', '.join(sorted(self.suffixes))}."


class GlobSource:
    """The id is the path below the longest part of the pattern without wildcards.

    `*`, `?` and `[...]` stay within one level, `**` crosses any number; none of them matches a hidden name.
    `{000..999}` and `{a,b}` are lists of patterns.
    """

    passthrough = _NO_COLUMNS
    skipped: Mapping[str, int] = MappingProxyType({})

    def __init__(self, pattern: str) -> None:
        """`pattern` is an absolute path or a URL with at least one wildcard."""
        self.pattern = pattern
        self.root, self.below = split_pattern(pattern)

    def batches(self) -> Iterator[pa.RecordBatch]:
        if local_path(self.root) is not None and not Path(self.root).is_dir():
            raise BadInput(f"{self.pattern}: nothing matches, because {self.root} is not a directory")
        has_matches = False
        for batch in file_batches(self.root, list_matches(self.root, self.below)):
            has_matches = True
            yield batch
        if not has_matches:
            raise BadInput(f"{self.pattern}: no file matches. `**` stands for any number of directories.")


def file_batches(root: str, paths: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """One row per path relative to `root`, a path or URL: the path as the id, the whole as the URI."""
    paths = iter(paths)
    while chunk := list(islice(paths, BATCH_ROWS)):
        ids = pa.array([printable(path) for path in chunk], pa.string())
        uris = pa.array([file_uri(below(root, path)) for path in chunk], pa.string())
        yield pa.RecordBatch.from_arrays([ids, uris], schema=_FILE_SCHEMA)
