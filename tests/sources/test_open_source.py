"""INPUT: what it can be, and what is said when it is not."""

from pathlib import Path
from urllib.parse import quote

import pytest

from artimuse.errors import BadInput
from artimuse.sources import open_source


def rows(location: str) -> list[dict[str, str]]:
    return [row for batch in open_source(location).batches() for row in batch.to_pylist()]


def test_one_image_is_a_collection_of_one(tmp_path: Path):
    (tmp_path / "a b.JPG").write_bytes(b"")
    assert rows(f"{tmp_path}/a b.JPG") == [{"image_id": "a b.JPG", "uri": f"{tmp_path}/a b.JPG"}]
    assert rows("s3://bucket/set/a.png") == [{"image_id": "a.png", "uri": "s3://bucket/set/a.png"}]


def test_a_file_url_is_the_path_it_means(tmp_path: Path):
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images" / "a.jpg").write_bytes(b"")
    expected = [{"image_id": "a.jpg", "uri": f"{tmp_path}/my images/a.jpg"}]
    assert rows(f"file://{quote(str(tmp_path / 'my images'))}") == expected


def test_relative_input_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "m.csv").write_text("uri\nimages/a.jpg\n")
    monkeypatch.chdir(tmp_path)
    for location in ("images", "images/", "images/a.jpg", "images/*.jpg", "m.csv"):
        assert [row["uri"] for row in rows(location)] == [f"{tmp_path}/images/a.jpg"]


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("/no/such/place", "/no/such/place: no such file or directory. INPUT can be a folder, a quoted glob,"),
        ("/etc/hostname", "/etc/hostname: not a collection this version reads. INPUT can be"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an http"),
        ("nowhere://bucket/m.csv", "nowhere://bucket/m.csv: cannot be read (Protocol not known"),
    ],
)
def test_what_is_no_collection_is_refused_and_the_alternatives_named(location: str, complaint: str):
    with pytest.raises(BadInput) as caught:
        rows(location)
    assert str(caught.value).startswith(complaint)
