import hashlib
import os
import subprocess

import pytest

from artimuse.errors import BadCheckpoint
from artimuse.model import digest
from artimuse.model.digest import weights_digest
from tests.model.checkpoints import NANO, change_config, write_native, write_official


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTIMUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "digests"


@pytest.fixture
def large_files(monkeypatch):
    """Treats the small test files as large ones, of which the digest is remembered."""
    monkeypatch.setattr(digest, "_CACHED_FROM_BYTES", 2**19)


def settle(path, at_s=1_000_000_000):
    os.utime(path, (at_s, at_s))


def test_digest_is_what_the_command_line_says():
    names = ["config.json", "merges.txt", "model.safetensors", "tokenizer_config.json", "vocab.json"]
    listing = subprocess.run(["sha256sum", *names], cwd=NANO, check=True, capture_output=True).stdout
    assert weights_digest(NANO) == hashlib.sha256(listing).hexdigest()


def test_digest_changes_with_the_system_message(tmp_path):
    directory = write_native(tmp_path / "model")
    before = weights_digest(directory)
    change_config(directory, system_message="Be strict.")
    assert weights_digest(directory) != before


def test_digest_changes_with_any_weight_file(tmp_path):
    directory = write_official(tmp_path / "model", num_shards=3)
    before = weights_digest(directory)
    path = directory / "model-00002-of-00003.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert weights_digest(directory) != before


def test_files_beside_the_checkpoint_do_not_matter(tmp_path):
    directory = write_native(tmp_path / "model")
    before = weights_digest(directory)
    (directory / "README.md").write_text("changed")
    (directory / "expected.json").write_text("{}")
    assert weights_digest(directory) == before


def test_digest_of_a_large_file_is_remembered_until_the_file_changes(tmp_path, cache, large_files):
    directory = write_native(tmp_path / "model")
    settle(directory / "model.safetensors")
    before = weights_digest(directory)
    [entry] = cache.iterdir()
    entry.write_text("0" * 64)
    assert weights_digest(directory) != before  # it was not read again
    settle(directory / "model.safetensors", 1_000_000_001)
    assert weights_digest(directory) == before


def test_broken_cache_entry_is_rewritten(tmp_path, cache, large_files):
    directory = write_native(tmp_path / "model")
    settle(directory / "model.safetensors")
    before = weights_digest(directory)
    [entry] = cache.iterdir()
    good = entry.read_text()
    for broken in (b"", good[:10].encode(), b"\xff\xfe"):
        entry.write_bytes(broken)
        assert weights_digest(directory) == before
        assert entry.read_text() == good


def test_digest_of_a_file_that_just_changed_is_not_remembered(tmp_path, cache, large_files):
    weights_digest(write_native(tmp_path / "model"))
    assert not cache.exists()


def test_digest_needs_no_writable_cache(tmp_path, monkeypatch, large_files):
    directory = write_native(tmp_path / "model")
    settle(directory / "model.safetensors")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARTIMUSE_CACHE", str(tmp_path / "file"))
    assert len(weights_digest(directory)) == 64


def test_missing_weights_are_an_error(tmp_path):
    directory = write_native(tmp_path / "model")
    (directory / "model.safetensors").unlink()
    with pytest.raises(BadCheckpoint, match="no weights"):
        weights_digest(directory)
