"""What a folder or a glob matches: patterns of path segments, followed level by level."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import has_magic
from itertools import product

ANY_DEPTH = "**"

Pattern = tuple[str, ...]
"""One segment per level, as in a shell; `**` stands for any number of levels."""

Reached = frozenset[int]
"""How many segments of a pattern may be used up at some level."""

EVERYTHING: Pattern = (ANY_DEPTH, "*")

_BRACES = re.compile(r"\{(\d+\.\.\d+|[^{}]*,[^{}]*)\}")


class Matcher:
    """Hidden names match only a segment that starts with a dot."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = (*pattern, "*") if pattern[-1] == ANY_DEPTH else pattern
        self.start = self._with_any_depth({0})

    def enter(self, above: Reached, name: str) -> Reached:
        """Goes down one level."""
        reached = set()
        for num_segments in above:
            if num_segments == len(self.pattern):
                continue
            segment = self.pattern[num_segments]
            if name.startswith(".") and not segment.startswith("."):
                continue
            if segment == ANY_DEPTH:
                reached.add(num_segments)
            elif fnmatchcase(name, segment):
                reached.add(num_segments + 1)
        return self._with_any_depth(reached)

    def is_end(self, reached: Reached) -> bool:
        """True if a file here matches."""
        return len(self.pattern) in reached

    def may_go_on(self, reached: Reached) -> bool:
        """True if something below may match."""
        return any(num_segments < len(self.pattern) for num_segments in reached)

    def matches(self, path: str, above: Reached) -> bool:
        """True if the file at a path below this level does."""
        for name in path.split("/"):
            above = self.enter(above, name)
        return self.is_end(above)

    def _with_any_depth(self, used: set[int]) -> Reached:
        """Adds that each `**` may stand for no level at all."""
        for num_segments, segment in enumerate(self.pattern):
            if segment == ANY_DEPTH and num_segments in used:
                used.add(num_segments + 1)
        return frozenset(used)


def is_pattern(location: str) -> bool:
    return has_magic(location) or _BRACES.search(location) is not None


def split_pattern(location: str) -> tuple[str, str]:
    """The longest part of a path or URL without wildcards, and the rest."""
    first = re.search(rf"[*?[]|{_BRACES.pattern}", location)
    assert first, location
    root, _, _ = location[: first.start()].rpartition("/")
    return root or "/", location[len(root) + 1 :]


def literal_start(segment: str) -> str:
    """What every name that matches the segment begins with."""
    return re.split(r"[*?[]", segment, maxsplit=1)[0]


def expand_braces(location: str) -> Iterator[str]:
    """Expands braces as bash does: `{000..999}` counts, keeping leading zeros; `{a,b}` lists."""
    pieces = _BRACES.split(location)
    for chosen in product(*(_choices(group) for group in pieces[1::2])):
        yield "".join(literal + choice for literal, choice in zip(pieces[::2], (*chosen, "")))


def _choices(group: str) -> list[str]:
    if ".." not in group:
        return group.split(",")
    first, last = group.split("..")
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
