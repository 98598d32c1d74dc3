"""The identity of a checkpoint's contents, for the fingerprint of a run."""

import hashlib
import logging
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from artimuse.model.cache import cache_directory
from artimuse.model.shards import shard_paths

logger = logging.getLogger(__name__)

# Besides the weights: a changed system message or vocabulary changes every score.
_SMALL_FILES = (
    "added_tokens.json",
    "config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_CACHED_FROM_BYTES = 2**24
# A file changed again within the resolution of its time stamp would keep its cache entry.
_SETTLED_NS = 2 * 10**9


def weights_digest(directory: Path) -> str:
    """sha256 over the weights, the configuration and the tokenizer of a checkpoint.

    The digest of what `sha256sum` prints for those files in name order. Digests of large files are remembered by
    path, size and modification time. Raises BadCheckpoint if a weight file is missing.
    """
    small = [directory / name for name in _SMALL_FILES if (directory / name).is_file()]
    paths = sorted([*small, *shard_paths(directory)], key=lambda path: path.name)
    # A core hashes 1 to 2 GB/s, which is less than a disk's cache gives.
    with ThreadPoolExecutor() as threads:
        listing = "".join(f"{found}  {path.name}\n" for found, path in zip(threads.map(_file_digest, paths), paths))
    return hashlib.sha256(listing.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    path = path.resolve()
    before = path.stat()
    if before.st_size < _CACHED_FROM_BYTES:
        return _sha256(path)
    identity = f"{path}\0{before.st_size}\0{before.st_mtime_ns}"
    entry = cache_directory() / "digests" / hashlib.sha256(identity.encode()).hexdigest()
    digest = _read_entry(entry)
    if digest is None:
        digest = _sha256(path)
        if time.time_ns() - before.st_mtime_ns > _SETTLED_NS:
            _write_entry(entry, digest)
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_entry(entry: Path) -> str | None:
    """The remembered digest; None if there is none, or not a whole one."""
    try:
        text = entry.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def _write_entry(entry: Path, digest: str) -> None:
    """Appears in one step, so that other processes see a whole entry or none; without a cache the run goes on."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=entry.parent, delete=False) as file:
            file.write(digest)
        Path(file.name).replace(entry)
    except OSError as error:
        logger.warning("digest not remembered path=%s error=%s", entry, error)
