"""Listing a store that is no S3: directory by directory, as on a disk."""

import fsspec
import pytest

from artimuse.errors import BadInput
from artimuse.sources import open_source
from tests.sources.containers import bodies, rows_of

NAMES = ("b.jpg", "a/deep/er/c.png", "a/d.webp", ".h/e.jpg", "a/.f.jpg", "a/g.txt", "x y#1+%20☃.jpg", "z/UP.JPG")


@pytest.fixture
def collection(memory_url: str) -> str:
    for name in NAMES:
        fsspec.filesystem("memory").pipe_file(f"{memory_url}/{name}", name.encode())
    return memory_url


def image_ids(location: str) -> list[str]:
    return [row["image_id"] for row in rows_of(open_source(location))]


def test_a_folder_on_a_url_is_listed_as_one_on_a_disk(collection: str):
    source = open_source(collection)
    ids = ["b.jpg", "x y#1+%20☃.jpg", "a/d.webp", "a/deep/er/c.png", "z/UP.JPG"]
    assert bodies(source) == {name: name.encode() for name in ids}
    assert image_ids(collection) == image_ids(f"{collection}/") == ids
    assert source.skipped == {".txt": 1}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg", "x y#1+%20☃.jpg"]),
        ("**/*.[pw]*", ["a/d.webp", "a/deep/er/c.png"]),
        ("a/*", ["d.webp", "g.txt"]),
        ("{b,z/UP}.{jpg,JPG}", ["b.jpg", "b.JPG", "z/UP.jpg", "z/UP.JPG"]),
        (".*/*", [".h/e.jpg"]),
    ],
)
def test_globs_on_a_url_match_as_on_a_disk(collection: str, pattern: str, expected: list[str]):
    assert image_ids(f"{collection}/{pattern}") == expected


def test_what_cannot_be_listed_is_refused(collection: str):
    for location in (f"{collection}/gone", f"{collection}/gone/*.jpg", "nowhere://bucket/x", "nowhere://bucket/*.jpg"):
        with pytest.raises(BadInput, match="cannot be listed"):
            image_ids(location)
    with pytest.raises(BadInput, match=r"not Parquet, and has no column `image` \(--image-column\)"):
        open_source(f"{collection}/b.jpg", image_column="image")
