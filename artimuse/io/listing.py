"""The files below a directory or an object-store prefix, as a stream: nobody holds the listing."""

from collections.abc import Iterator
from glob import has_magic

from artimuse.io.patterns import Pattern, expand_braces
from artimuse.io.reading import as_bad_input
from artimuse.io.stores import open_store


def list_files(root: str, pattern: Pattern) -> Iterator[str]:
    """Paths relative to `root`, an absolute path or a URL, that match; the same in every call.

    Raises BadInput if something cannot be listed: its images would be lost.
    """
    with as_bad_input(root, deed="listed"):
        store, path = open_store(root)
        yield from store.find(path, pattern)


def list_matches(root: str, pattern: str) -> Iterator[str]:
    """Paths relative to `root` that match a pattern with braces. A choice without wildcards is taken unseen."""
    for choice in expand_braces(pattern):
        yield from list_files(root, tuple(choice.split("/"))) if has_magic(choice) else (choice,)
