"""Folders on a local disk and on fsspec's in-memory store, which stands for an object store."""

import os
import pickle
import threading
from pathlib import Path

import pytest

from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.io.location import local_path
from artimuse.io.stores import open_file


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Folder:
    return Folder.at(str(tmp_path / "output") if request.param == "local" else memory_url)


def test_what_is_written_can_be_read_listed_and_removed(folder: Folder):
    folder.write("scores/b.parquet", b"B")
    folder.write("scores/a.parquet", b"A")
    folder.write("run.json", b"{}")
    assert folder.read("scores/a.parquet") == b"A"
    assert folder.names("scores") == ["a.parquet", "b.parquet"]
    assert folder.names() == ["run.json"]
    assert folder.exists("scores/b.parquet")
    folder.remove("scores/b.parquet")
    assert not folder.exists("scores/b.parquet")
    assert folder.names("scores") == ["a.parquet"]


def test_writing_again_replaces_the_file(folder: Folder):
    folder.write("run.json", b"a longer first version")
    folder.write("run.json", b"second")
    assert folder.read("run.json") == b"second"
    assert folder.names() == ["run.json"]


def test_what_is_not_there_is_absent_and_not_an_error(folder: Folder):
    assert not folder.exists("run.json")
    assert folder.names() == []
    assert folder.names("scores") == []
    folder.remove("run.json")


def test_reading_what_is_not_there_names_the_place(folder: Folder):
    with pytest.raises(BadOutput, match=r"run\.json: cannot be read"):
        folder.read("run.json")
    with pytest.raises(BadOutput, match=r"run\.json: cannot be read"):
        folder.open("run.json")


def test_a_subfolder_is_a_folder(folder: Folder):
    (folder / "scores").write("a.parquet", b"A")
    assert folder.read("scores/a.parquet") == b"A"
    assert (folder / "scores").url("a.parquet") == folder.url("scores/a.parquet")


def test_a_folder_survives_pickling(folder: Folder):
    folder.write("run.json", b"{}")
    copy = pickle.loads(pickle.dumps(folder))
    assert copy.url() == folder.url()
    assert copy.read("run.json") == b"{}"


def test_an_open_file_can_be_read_from_the_middle(folder: Folder):
    folder.write("part", b"0123456789")
    with folder.open("part") as file:
        file.seek(4)
        assert file.read(3) == b"456"
    with open_file(folder.url("part")) as file:
        assert file.read() == b"0123456789"


def test_names_with_spaces_and_emoji_are_names(folder: Folder):
    folder.write("my scores/🦊 1.parquet", b"A")
    assert folder.names("my scores") == ["🦊 1.parquet"]


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = Folder.at("output")
    monkeypatch.chdir("/")
    folder.write("run.json", b"{}")
    assert (tmp_path / "output" / "run.json").read_bytes() == b"{}"


def test_a_reader_never_sees_half_a_file(tmp_path: Path):
    folder = Folder.at(str(tmp_path))
    versions = [bytes([letter]) * 1_000_000 for letter in b"ab"]
    folder.write("part", versions[0])
    writer = threading.Thread(target=lambda: [folder.write("part", versions[turn % 2]) for turn in range(20)])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(folder.read("part"))
        assert folder.names() == ["part"]
    writer.join()
    assert set(seen) <= set(versions)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path):
    folder = Folder.at(str(tmp_path))
    (tmp_path / "run.json").mkdir()
    with pytest.raises(BadOutput, match=r"run\.json: cannot be written \(Is a directory\)"):
        folder.write("run.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_file_where_a_folder_should_be_is_bad_output(tmp_path: Path):
    (tmp_path / "output").write_bytes(b"")
    folder = Folder.at(str(tmp_path / "output"))
    with pytest.raises(BadOutput, match="cannot be written"):
        folder.write("run.json", b"{}")
    assert not folder.exists("run.json")


def test_an_unknown_scheme_is_bad_output():
    with pytest.raises(BadOutput, match="nowhere://bucket: not a location this installation can reach"):
        Folder.at("nowhere://bucket")


def test_local_path_takes_file_uris_byte_by_byte():
    assert local_path("/data/100%25.jpg") == "/data/100%25.jpg"
    assert local_path("file:///data/a%20b.jpg") == "/data/a b.jpg"
    assert os.fsencode(local_path("file:///data/%FF.jpg") or "") == b"/data/\xff.jpg"
    assert local_path("s3://bucket/a.jpg") is None
