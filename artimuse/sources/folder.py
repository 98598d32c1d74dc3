"""A folder or object-store prefix as a collection: every file with an image suffix, at any depth."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.io.listing import list_files
from artimuse.io.patterns import EVERYTHING
from artimuse.sources.files import CARRIED_BY_FILES, file_batches
from artimuse.sources.suffixes import count_suffix, suffix_of


class FolderSource:
    """Hidden files and directories are left out, as a shell would. The id is the path below the folder."""

    carried = CARRIED_BY_FILES

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
            found = describe_skipped(self.skipped) or "it holds no files"
            expected = ", ".join(sorted(self.suffixes))
            raise BadInput(f"{self.root}: no images in this folder: {found}. Images are named {expected}.")

    def _images(self) -> Iterator[str]:
        skipped = Counter[str]()
        for path in list_files(self.root, EVERYTHING):
            if suffix_of(path) in self.suffixes:
                yield path
            else:
                count_suffix(skipped, path)
        self.skipped = dict(skipped.most_common())


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """`12 files that are not images were skipped (.txt 10, .json 2)`; empty if nothing was."""
    if not skipped:
        return ""
    counts = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in skipped.items())
    total = sum(skipped.values())
    subject = "1 file that is not an image was" if total == 1 else f"{total} files that are not images were"
    return f"{subject} skipped ({counts})"
