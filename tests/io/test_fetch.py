"""One row, one outcome: bytes or an error with a code."""

import os
from pathlib import Path

import fsspec
import pytest

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from tests.users import ordinary_user

LIMITS = DecodeLimits(max_bytes=100)


def error_code(uri: str) -> str:
    result = fetch(Location(uri), LIMITS)
    assert isinstance(result, RowError)
    assert result.message.isprintable()
    return result.code


@pytest.mark.parametrize("name", ["a.jpg", "a b.jpg", "🦊.jpg", "new\nline.jpg", "100%25.jpg", "a#b?c.jpg", "a::b.jpg"])
def test_a_path_is_read_as_it_is_written(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"bytes")
    assert fetch(Location(f"{tmp_path}/{name}"), LIMITS) == b"bytes"


def test_a_file_uri_is_percent_decoded(tmp_path: Path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff 1.jpg")).write_bytes(b"bytes")
    assert fetch(Location(f"file://{tmp_path}/%FF%201.jpg"), LIMITS) == b"bytes"


def test_a_url_is_read_through_fsspec(memory_url: str):
    fsspec.filesystem("memory").pipe_file(f"{memory_url}/a b.jpg", b"bytes")
    assert fetch(Location(f"{memory_url}/a b.jpg"), LIMITS) == b"bytes"
    assert error_code(f"{memory_url}/gone.jpg") == "not_found"


def test_symlinks_are_followed(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    assert fetch(Location(f"{tmp_path}/link.jpg"), LIMITS) == b"bytes"


def test_what_is_no_file_is_not_found(tmp_path: Path, memory_url: str):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "dangling.jpg").symlink_to("gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    fsspec.filesystem("memory").pipe_file(f"{memory_url}/folder/a.jpg", b"bytes")
    for uri in ("gone.jpg", "dangling.jpg", "folder.jpg", "a.jpg/b.jpg"):
        assert error_code(f"{tmp_path}/{uri}") == "not_found"
    assert error_code(f"{memory_url}/folder") == "not_found"


def test_an_empty_file_is_fetched_and_left_to_the_decoder(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert fetch(Location(f"{tmp_path}/a.jpg"), LIMITS) == b""


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, memory_url: str):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would take a terabyte of memory
    fsspec.filesystem("memory").pipe_file(f"{memory_url}/large.jpg", bytes(101))
    assert fetch(Location(f"{tmp_path}/huge.jpg"), LIMITS) == RowError("too_large", f"{2**40} bytes, the limit is 100")
    assert fetch(Location(f"{memory_url}/large.jpg"), LIMITS) == RowError("too_large", "101 bytes, the limit is 100")


def test_a_file_at_the_limit_is_read(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(bytes(100))
    assert fetch(Location(f"{tmp_path}/a.jpg"), LIMITS) == bytes(100)


def test_a_file_that_may_not_be_read_is_access_denied(public_folder: Path):
    (public_folder / "a.jpg").write_bytes(b"")
    (public_folder / "a.jpg").chmod(0)
    with ordinary_user():
        assert error_code(f"{public_folder}/a.jpg") == "access_denied"


def test_a_named_pipe_does_not_hang_the_run(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")
    assert error_code(f"{tmp_path}/a.jpg") == "io_error"


def test_whatever_else_goes_wrong_is_an_error_of_the_row(tmp_path: Path):
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    result = fetch(Location("nowhere://bucket/a.jpg"), LIMITS)
    assert isinstance(result, RowError)
    assert result.code == "io_error"
    assert result.message.startswith("ValueError: Protocol not known: nowhere")
    for uri in (f"{tmp_path}/itself.jpg", f"{tmp_path}/nul\0.jpg", f"file://{tmp_path}/itself.jpg", "x" * 5000):
        assert error_code(uri) == "io_error"
