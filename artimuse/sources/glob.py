"""A glob as a collection: every file that matches, whatever its suffix."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.io.listing import list_matches
from artimuse.io.location import local_path
from artimuse.io.patterns import split_pattern
from artimuse.sources.files import CARRIED_BY_FILES, file_batches


class GlobSource:
    """The id is the path below the longest part of the pattern without wildcards.

    `*`, `?` and `[...]` stay within one level, `**` crosses any number; none of them matches a hidden name.
    `{000..999}` and `{a,b}` are lists of patterns.
    """

    carried = CARRIED_BY_FILES
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
