"""The files that hold images inside them: one tar or Parquet file, a folder of them, or a glob."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from artimuse.errors import BadInput
from artimuse.io.listing import list_files, list_matches
from artimuse.io.location import below, local_path
from artimuse.io.patterns import EVERYTHING, split_pattern
from artimuse.sources.suffixes import count_suffix, suffix_of


class ContainerFiles:
    """What INPUT names, file by file: each as its location and its path below INPUT."""

    def __init__(self, location: str, suffix: str, *, is_folder: bool = False, is_glob: bool = False) -> None:
        """`location` is an absolute path or a URL."""
        self.location = location
        self.suffix = suffix
        self.is_one = not (is_folder or is_glob)
        self._is_folder = is_folder
        self.skipped: Counter[str] = Counter()
        """Suffix -> number of other files in the folder; of the latest pass over it."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Raises BadInput if there is none."""
        self.skipped.clear()
        has_files = False
        for location, path in self._found():
            has_files = True
            yield location, path
        if not has_files:
            raise BadInput(f"{self.location}: no {self.suffix} file here")

    def _found(self) -> Iterator[tuple[str, str]]:
        if self.is_one:
            yield self.location, PurePosixPath(self.location).name
            return
        if self._is_folder:
            root, paths = self.location, list_files(self.location, EVERYTHING)
        else:
            root, pattern = split_pattern(self.location)
            if local_path(root) is not None and not Path(root).is_dir():
                raise BadInput(f"{self.location}: nothing matches, because {root} is not a directory")
            paths = list_matches(root, pattern)
        for path in paths:
            if suffix_of(path) == self.suffix:
                yield below(root, path), path
            else:
                count_suffix(self.skipped, path)
