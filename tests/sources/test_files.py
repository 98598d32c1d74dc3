"""Local folders with every kind of name and link a disk can hold."""

import os
import sys
from pathlib import Path

import pytest

from artimuse.configs.limits import DEFAULT_FORMATS, DecodeLimits
from artimuse.errors import BadInput
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.sources import open_source
from artimuse.sources.files import FolderSource
from artimuse.sources.suffixes import image_suffixes
from tests.users import ordinary_user


def make_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def image_ids(root: Path) -> list[str]:
    return [row["image_id"] for batch in folder_source(root).batches() for row in batch.to_pylist()]


def folder_source(root: Path) -> FolderSource:
    return FolderSource(str(root), suffixes=image_suffixes(DEFAULT_FORMATS))


def test_images_at_any_depth_are_rows_with_paths_as_ids(tmp_path: Path):
    make_files(tmp_path, "b.jpg", "a/deep/er/c.png", "a/d.webp")
    [batch] = folder_source(tmp_path).batches()
    assert batch.to_pylist() == [
        {"image_id": "b.jpg", "uri": f"{tmp_path}/b.jpg"},
        {"image_id": "a/d.webp", "uri": f"{tmp_path}/a/d.webp"},
        {"image_id": "a/deep/er/c.png", "uri": f"{tmp_path}/a/deep/er/c.png"},
    ]


def test_the_order_is_the_same_in_every_call(tmp_path: Path):
    make_files(tmp_path, *(f"{number * 7919 % 100}/{number * 104729 % 1000}.jpg" for number in range(300)))
    source = folder_source(tmp_path)
    first, second = ([batch.to_pylist() for batch in source.batches()] for _ in range(2))
    assert first == second


def test_suffixes_count_in_any_case_and_hidden_files_do_not(tmp_path: Path):
    make_files(tmp_path, "A.JPG", "a.jpg", "c.JpEg", "d.jfif", "e.mpo", ".f.jpg", ".cache/g.jpg", "h.jpg.part")
    assert image_ids(tmp_path) == ["A.JPG", "a.jpg", "c.JpEg", "d.jfif", "e.mpo"]


def test_only_the_formats_asked_for_are_images(tmp_path: Path):
    make_files(tmp_path, "a.jpg", "b.png", "c.psd")
    source = open_source(str(tmp_path), formats=("PNG", "PSD"))
    assert [row["image_id"] for batch in source.batches() for row in batch.to_pylist()] == ["b.png", "c.psd"]


def test_files_that_are_not_images_are_counted_by_suffix(tmp_path: Path):
    make_files(tmp_path, "a.jpg", "b.txt", "c/d.TXT", "c/e.json", "README")
    source = folder_source(tmp_path)
    assert len(list(source.batches())) == 1
    assert source.skipped == {".txt": 2, ".json": 1, "": 1}


def test_counting_what_is_skipped_takes_bounded_memory(tmp_path: Path):
    make_files(tmp_path, "a.jpg", *(f"photo.{number}" for number in range(300)))
    source = folder_source(tmp_path)
    assert len(list(source.batches())) == 1
    assert sum(source.skipped.values()) == 300
    assert source.skipped["other"] == 200


def test_any_name_a_disk_can_hold_leads_back_to_its_bytes(tmp_path: Path):
    names = [b"a b.jpg", b"new\nline.jpg", "🦊/é.jpg".encode(), b"100%25.jpg", b"\xff\xfe.jpg", b"caf\xe9/x.jpg"]
    for name in names:
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(name)
    [batch] = folder_source(tmp_path).batches()
    batch.validate(full=True)
    fetched = {row["image_id"]: fetch(Location(row["uri"]), DecodeLimits()) for row in batch.to_pylist()}
    assert fetched == {name.decode("utf-8", "backslashreplace"): name for name in names}


def test_symlinked_files_are_rows_even_if_they_lead_nowhere(tmp_path: Path):
    make_files(tmp_path, "real.jpg")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    (tmp_path / "dangling.jpg").symlink_to("gone.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    assert image_ids(tmp_path) == ["dangling.jpg", "itself.jpg", "link.jpg", "real.jpg"]


def test_symlinked_directories_are_entered_but_never_round_in_a_circle(tmp_path: Path):
    make_files(tmp_path, "collection/a/1.jpg", "elsewhere/2.jpg")
    collection = tmp_path / "collection"
    (collection / "a" / "up").symlink_to(collection)
    (collection / "a" / "here").symlink_to(".")
    (collection / "b").symlink_to(tmp_path / "elsewhere")
    assert image_ids(collection) == ["a/1.jpg", "b/2.jpg"]


def test_trees_deeper_than_the_call_stack_are_walked(tmp_path: Path):
    tmp_path.joinpath(*["d"] * 300).mkdir(parents=True)
    make_files(tmp_path, "d/" * 300 + "a.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        found = image_ids(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["d/" * 300 + "a.jpg"]


def test_an_unreadable_directory_is_an_error_not_a_loss(public_folder: Path):
    make_files(public_folder, "a.jpg", "private/b.jpg")
    (public_folder / "private").chmod(0)
    with ordinary_user(), pytest.raises(BadInput, match=r"private/: cannot be listed \(Permission denied\)"):
        image_ids(public_folder)


def test_a_folder_of_pictures_that_are_not_read_says_what_to_do(tmp_path: Path):
    make_files(tmp_path, "a.HEIC", "b.heic")
    with pytest.raises(BadInput, match=r"files that are not read: 2 \.heic: write them as JPEG, PNG or WebP"):
        image_ids(tmp_path)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path):
    with pytest.raises(BadInput, match=r"no images in this folder\. It holds no files"):
        image_ids(tmp_path)
    make_files(tmp_path, "a.parquet", "b.parquet")
    with pytest.raises(BadInput, match=r"It holds files that are not images: 2 \.parquet \(left out\)\. Images are"):
        image_ids(tmp_path)


def test_many_files_come_in_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("artimuse.sources.files.BATCH_ROWS", 4)
    make_files(tmp_path, *(f"{number}.jpg" for number in range(10)))
    assert [batch.num_rows for batch in folder_source(tmp_path).batches()] == [4, 4, 2]
