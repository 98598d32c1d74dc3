"""The files below a directory or an object-store prefix, as a stream: nobody holds the listing."""

from collections.abc import Iterator
from glob import has_magic
from typing import Any

from artimuse.errors import BadInput
from artimuse.remote.retries import describe, with_retries
from artimuse.remote.store import bucket_and_key, is_s3, open_store
from artimuse.sources.patterns import ANY_DEPTH, Matcher, Pattern, expand_braces, literal_start
from artimuse.sources.walk import walk
from artimuse.storage import local_path


def list_files(root: str, pattern: Pattern) -> Iterator[str]:
    """Paths relative to `root`, an absolute path or a URL, that match; the same in every call.

    Raises BadInput if something cannot be listed: its images would be lost.
    """
    if local_path(root) is not None:
        return walk(root, pattern)
    return _explained(root, _list_s3(root, pattern) if is_s3(root) else _list_remote(root, pattern))


def list_matches(root: str, pattern: str) -> Iterator[str]:
    """Paths relative to `root` that match a pattern with braces. A choice without wildcards is taken unseen."""
    for choice in expand_braces(pattern):
        yield from list_files(root, tuple(choice.split("/"))) if has_magic(choice) else (choice,)


def _explained(root: str, paths: Iterator[str]) -> Iterator[str]:
    try:
        yield from paths
    except BadInput:
        raise
    except Exception as error:  # process boundary: every filesystem raises kinds of its own
        raise BadInput(f"{root}: cannot be listed ({describe(error)})") from error


def _list_s3(root: str, pattern: Pattern) -> Iterator[str]:
    """In key order if the pattern may cross levels, else level by level; a page of at most 1,000 keys at a time."""
    store, path = open_store(root)
    bucket, key = bucket_and_key(path)
    start = f"{key}/" if key else ""
    matcher = Matcher(pattern)
    delimiter = "" if ANY_DEPTH in pattern else "/"
    # What the first segment begins with narrows the listing at no cost.
    pending = [(start, literal_start(pattern[0]), matcher.start)]
    while pending:
        level, narrowed, above = pending.pop()
        levels = []
        for page in _pages(store, Bucket=bucket, Prefix=level + narrowed, Delimiter=delimiter):
            for entry in page.get("Contents", ()):
                # A key that ends in `/` marks a folder in some tools; no picture has such a name.
                if not entry["Key"].endswith("/") and matcher.matches(entry["Key"][len(level) :], above):
                    yield entry["Key"][len(start) :]
            for entry in page.get("CommonPrefixes", ()):
                reached = matcher.enter(above, entry["Prefix"][len(level) : -1])
                if matcher.may_go_on(reached):
                    levels.append((entry["Prefix"], "", reached))
        pending += reversed(levels)


def _pages(store: Any, **request: str) -> Iterator[dict[str, Any]]:
    while True:
        page = with_retries(lambda: store.call_s3("list_objects_v2", **request))
        yield page
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _list_remote(root: str, pattern: Pattern) -> Iterator[str]:
    """Directory by directory, files first, as `walk` does."""
    store, path = open_store(root)
    matcher = Matcher(pattern)
    pending = [(path.rstrip("/"), "", matcher.start)]
    while pending:
        directory, inside, above = pending.pop()
        files, directories = [], []
        for entry in _list_directory(store, directory):
            name = entry["name"].rstrip("/").rpartition("/")[2]
            reached = matcher.enter(above, name)
            if entry["type"] == "directory":
                if matcher.may_go_on(reached):
                    directories.append((entry["name"], f"{inside}{name}/", reached))
            elif matcher.is_end(reached):
                files.append(inside + name)
        yield from sorted(files)
        pending += sorted(directories, key=lambda level: level[1], reverse=True)


def _list_directory(store: Any, path: str) -> list[dict[str, Any]]:
    def fresh() -> list[dict[str, Any]]:
        store.invalidate_cache(path)
        found = store.ls(path, detail=True)
        # A folder's own marker is listed among what is in it.
        return [entry for entry in found if entry["name"].rstrip("/") != path]

    return with_retries(fresh)
