"""Checkpoints at fsspec URLs such as s3://: a copy on this machine, made once and never changed."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from artimuse.errors import BadCheckpoint
from artimuse.io.store import Store
from artimuse.io.stores import open_store
from artimuse.model.cache import cache_directory

# What tells versions of a file apart, best first; each kind of store has one of them.
_VERSION_KEYS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")


def local_copy(url: str, patterns: Sequence[str]) -> Path:
    """A directory with the files at the URL that match one of the patterns.

    It is named by the URL with every file's size and version, so that a changed source is copied again. Processes
    that ask at the same time wait for one of them to copy; after an interruption only what is missing is copied.
    Raises BadCheckpoint if the URL cannot be read.
    """
    try:
        store, path = open_store(url)
        files = _list_files(store, path, patterns)
        if not files:
            raise BadCheckpoint(f"model {url}: no checkpoint files there ({', '.join(patterns)})")
        return _copy_once(store, files, cache_directory() / "checkpoints" / _identity(url, files))
    except BadCheckpoint:
        raise
    except FileNotFoundError as error:
        raise BadCheckpoint(f"model {url}: no such directory ({error})") from error
    # Every store raises its own library's exceptions.
    except Exception as error:
        raise BadCheckpoint(f"model {url}: cannot be copied ({type(error).__name__}: {error})") from error


def _list_files(store: Store, path: str, patterns: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """File name -> what the store says of it, sorted by name."""
    entries = {Path(entry["name"]).name: entry for entry in store.entries(path)}
    return {
        name: entry
        for name, entry in sorted(entries.items())
        if entry["type"] == "file" and any(fnmatch(name, pattern) for pattern in patterns)
    }


def _identity(url: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    versions = [
        (name, entry["size"], str(next((entry[key] for key in _VERSION_KEYS if key in entry), "")))
        for name, entry in files.items()
    ]
    return sha256(json.dumps([url, versions]).encode()).hexdigest()[:32]


def _copy_once(store: Store, files: Mapping[str, Mapping[str, Any]], directory: Path) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if not directory.is_dir():
            partial = directory.with_name(f"{directory.name}.partial")
            partial.mkdir(exist_ok=True)
            for name, entry in files.items():
                if not (partial / name).exists():
                    _copy_file(store, entry, partial / name)
            partial.rename(directory)
    return directory


def _copy_file(store: Store, entry: Mapping[str, Any], path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    store.download(entry["name"], unfinished)
    if unfinished.stat().st_size != entry["size"]:
        raise BadCheckpoint(f"{entry['name']}: changed while it was copied; try again")
    unfinished.rename(path)
