import subprocess
import sys

import fsspec
import pytest

from artimuse.errors import BadCheckpoint
from artimuse.model.find import find_checkpoint
from tests.model.checkpoints import NANO, change_config, write_native


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTIMUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def memory_url():
    filesystem = fsspec.filesystem("memory")
    filesystem.put(str(NANO), "/models/nano", recursive=True)
    yield "memory://models/nano"
    filesystem.rm("/models", recursive=True)


def test_checkpoint_at_a_url_is_copied_file_by_file(memory_url):
    found = find_checkpoint(memory_url)
    assert found.name == memory_url
    for path in NANO.iterdir():
        if path.name != "README.md":
            assert (found.directory / path.name).read_bytes() == path.read_bytes()


def test_only_checkpoint_files_are_copied(memory_url):
    filesystem = fsspec.filesystem("memory")
    for name in ("modeling.py", "pytorch_model.bin", "more/config.json"):
        filesystem.pipe(f"/models/nano/{name}", b"x")
    names = {path.name for path in find_checkpoint(memory_url).directory.iterdir()}
    assert names == {"config.json", "merges.txt", "model.safetensors", "tokenizer_config.json", "vocab.json"}


def test_copy_is_made_once(tmp_path):
    write_native(tmp_path / "source")
    first = find_checkpoint(f"file://{tmp_path}/source").directory
    before = {path.name: path.stat() for path in first.iterdir()}
    second = find_checkpoint(f"file://{tmp_path}/source").directory
    assert second == first
    assert {path.name: path.stat() for path in second.iterdir()} == before


def test_changed_source_is_copied_again(tmp_path):
    write_native(tmp_path / "source")
    first = find_checkpoint(f"file://{tmp_path}/source").directory
    change_config(tmp_path / "source", system_message="Be strict.")
    second = find_checkpoint(f"file://{tmp_path}/source").directory
    assert second != first
    assert "Be strict." in (second / "config.json").read_text()
    assert "Be strict." not in (first / "config.json").read_text()


def test_interrupted_copy_is_finished(tmp_path, cache):
    write_native(tmp_path / "source")
    directory = find_checkpoint(f"file://{tmp_path}/source").directory
    partial = directory.rename(directory.with_name(f"{directory.name}.partial"))
    (partial / "vocab.json").unlink()
    (partial / "model.safetensors").rename(partial / "model.safetensors.unfinished")
    kept = (partial / "merges.txt").stat()
    again = find_checkpoint(f"file://{tmp_path}/source").directory
    assert (again / "merges.txt").stat() == kept
    for path in (tmp_path / "source").glob("*.[jst]*"):
        assert (again / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in cache.iterdir()} <= {again.name, f"{again.name}.lock"}


def test_processes_that_ask_at_once_share_one_copy(tmp_path, cache):
    write_native(tmp_path / "source")
    url = f"file://{tmp_path}/source"
    script = f"from artimuse.model.find import find_checkpoint; print(find_checkpoint({url!r}).directory)"
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    directories = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    [directory] = directories
    assert [path for path in cache.iterdir() if path.is_dir()] == [cache / directory.rpartition("/")[2]]
    assert find_checkpoint(directory).directory.joinpath("model.safetensors").stat().st_size > 2**20


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nowhere/at/all", "memory://nowhere/at/all: no such directory"),
        ("nosuchprotocol://bucket/model", "nosuchprotocol://bucket/model: cannot be copied"),
    ],
)
def test_unreadable_url_is_an_error(url, message):
    with pytest.raises(BadCheckpoint, match=message):
        find_checkpoint(url)


def test_url_without_a_checkpoint_is_an_error(tmp_path):
    (tmp_path / "readme.md").write_text("nothing here")
    with pytest.raises(BadCheckpoint, match="no checkpoint files"):
        find_checkpoint(f"file://{tmp_path}")
