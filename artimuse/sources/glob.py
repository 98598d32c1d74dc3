"""A local glob as a collection: every file that matches, whatever its suffix."""

from collections.abc import Iterator, Mapping
from glob import has_magic
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.sources.files import CARRIED_BY_FILES, file_batches
from artimuse.sources.walk import walk


class GlobSource:
    """The id is the path below the longest part of the pattern without wildcards.

    `*`, `?` and `[...]` stay within one level, `**` crosses any number; none of them matches a hidden name.
    """

    carried = CARRIED_BY_FILES
    skipped: Mapping[str, int] = MappingProxyType({})

    def __init__(self, pattern: str) -> None:
        """`pattern` is an absolute path with at least one wildcard."""
        segments = pattern.split("/")
        num_literal = [has_magic(segment) for segment in segments].index(True)
        self.pattern = pattern
        self.root = "/".join(segments[:num_literal]) or "/"
        self.segments = tuple(segments[num_literal:])

    def batches(self) -> Iterator[pa.RecordBatch]:
        if not Path(self.root).is_dir():
            raise BadInput(f"{self.pattern}: nothing matches, because {self.root} is not a directory")
        has_matches = False
        for batch in file_batches(self.root, walk(self.root, self.segments)):
            has_matches = True
            yield batch
        if not has_matches:
            raise BadInput(f"{self.pattern}: no file matches. `**` stands for any number of directories.")
