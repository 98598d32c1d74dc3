"""A local folder as a collection: every file with an image suffix, at any depth."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.sources.files import CARRIED_BY_FILES, file_batches
from artimuse.sources.suffixes import suffix_of
from artimuse.sources.walk import ANY_DEPTH, walk

_MAX_SUFFIXES_COUNTED = 100
"""Names like `photo.1718` would otherwise make a counter of every file."""


class FolderSource:
    """Hidden files and directories are left out, as a shell would. The id is the path below the folder."""

    carried = CARRIED_BY_FILES

    def __init__(self, root: str, *, suffixes: Collection[str]) -> None:
        self.root = root
        self.suffixes = frozenset(suffixes)
        self.skipped: Mapping[str, int] = {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        has_images = False
        for batch in file_batches(self.root, self._images()):
            has_images = True
            yield batch
        if not has_images:
            found = describe_skipped(self.skipped) or "it holds no files"
            expected = ", ".join(sorted(self.suffixes))
            raise BadInput(f"{self.root}: no images in this folder: {found}. Images are named {expected}.")

    def _images(self) -> Iterator[str]:
        skipped = Counter[str]()
        for path in walk(self.root, (ANY_DEPTH, "*")):
            suffix = suffix_of(path)
            if suffix in self.suffixes:
                yield path
            elif suffix in skipped or len(skipped) < _MAX_SUFFIXES_COUNTED:
                skipped[suffix] += 1
            else:
                skipped["other"] += 1
        self.skipped = dict(skipped.most_common())


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """`12 files that are not images were skipped (.txt 10, .json 2)`; empty if nothing was."""
    if not skipped:
        return ""
    counts = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in skipped.items())
    total = sum(skipped.values())
    subject = "1 file that is not an image was" if total == 1 else f"{total} files that are not images were"
    return f"{subject} skipped ({counts})"
