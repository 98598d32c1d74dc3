"""Globs match what a shell would match."""

from pathlib import Path

import pytest

from artimuse.errors import BadInput
from artimuse.sources import open_source
from tests.users import ordinary_user


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "b.txt", "x/c.jpg", "x/y/d.jpg", "x/y/x/e.jpg", ".h/f.jpg", "x/.g.jpg", "[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def image_ids(pattern: str) -> list[str]:
    return [row["image_id"] for batch in open_source(pattern).batches() for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["[1].jpg", "a.jpg", "b.jpg"]),
        ("?.*", ["a.jpg", "b.jpg", "b.txt"]),
        ("[[]*.jpg", ["[1].jpg"]),
        ("[!a].jpg", ["b.jpg"]),
        ("**/*.jpg", ["[1].jpg", "a.jpg", "b.jpg", "x/c.jpg", "x/y/d.jpg", "x/y/x/e.jpg"]),
        ("**/x/**/*.jpg", ["x/c.jpg", "x/y/d.jpg", "x/y/x/e.jpg"]),
        ("**/**/y/*", ["x/y/d.jpg"]),
        ("*/c.jpg", ["x/c.jpg"]),
        ("**", ["[1].jpg", "a.jpg", "b.jpg", "b.txt", "x/c.jpg", "x/y/d.jpg", "x/y/x/e.jpg"]),
        (".*/*.jpg", [".h/f.jpg"]),
        ("**/.*.jpg", ["x/.g.jpg"]),
    ],
)
def test_a_glob_matches_as_a_shell_would_and_each_file_once(collection: Path, pattern: str, expected: list[str]):
    assert image_ids(f"{collection}/{pattern}") == expected


def test_ids_are_below_the_longest_part_without_wildcards(collection: Path):
    [batch] = open_source(f"{collection}/x/y/*.jpg").batches()
    assert batch.to_pylist() == [{"image_id": "d.jpg", "uri": f"{collection}/x/y/d.jpg"}]


def test_a_relative_glob_gives_absolute_uris(collection: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(collection)
    [batch] = open_source("x/*.jpg").batches()
    assert batch["uri"].to_pylist() == [f"{collection}/x/c.jpg"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(collection: Path):
    (collection / "set[1]").mkdir()
    (collection / "set[1]" / "a.jpg").write_bytes(b"")
    assert image_ids(f"{collection}/set[1]") == ["a.jpg"]


def test_dangling_symlinks_match(collection: Path):
    (collection / "x" / "gone.jpg").symlink_to("nowhere")
    assert image_ids(f"{collection}/x/*.jpg") == ["c.jpg", "gone.jpg"]


def test_a_glob_that_matches_no_file_is_bad_input(collection: Path):
    with pytest.raises(BadInput, match=r"\*\.gif: no file matches"):
        image_ids(f"{collection}/*.gif")
    with pytest.raises(BadInput, match="no file matches"):
        image_ids(f"{collection}/x*")  # a directory alone
    with pytest.raises(BadInput, match=r"nothing matches, because .*nowhere is not a directory"):
        image_ids(f"{collection}/nowhere/*.gif")


def test_directories_that_cannot_match_are_not_even_listed(public_folder: Path):
    for name in ("a", "private"):
        (public_folder / name).mkdir()
        (public_folder / name / "1.jpg").write_bytes(b"")
    (public_folder / "private").chmod(0)
    with ordinary_user():
        assert image_ids(f"{public_folder}/a*/*.jpg") == ["a/1.jpg"]
