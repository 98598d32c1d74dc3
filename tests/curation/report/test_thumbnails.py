"""Small pictures: from wherever a run has read its images, of a bounded size, or a reason why there is none."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artimuse.cli import main
from artimuse.curation.report.thumbnails import LARGE, SMALL, UNREADABLE, Thumbnail, thumbnails
from tests.curation.score_tables import table_at
from tests.pictures import encoded, picture
from tests.sources.containers import parquet, tar


def scored(source: Path, table: Path) -> None:
    asked = ["--engine", "fake", "--workers", "0", "--max-failed", "1"]
    assert main(["score", str(source), str(table), *asked]) == 0


def made(table: Path, number: int = 0) -> Thumbnail:
    place = ("table", number)
    return thumbnails([table_at(table)], {place: SMALL})[place]


def opened(thumbnail: Thumbnail) -> Image.Image:
    assert thumbnail.url is not None
    data = base64.b64decode(thumbnail.url.removeprefix("data:image/webp;base64,"))
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_pictures_are_found_in_folders_tars_and_parquet_files(tmp_path: Path, kind: str):
    data = [encoded(picture(level, width=640, height=480)) for level in (20, 220)]
    source = tmp_path / "photos"
    if kind == "folder":
        source.mkdir()
        for number, one in enumerate(data):
            (source / f"{number}.png").write_bytes(one)
    elif kind == "tar":
        source = tmp_path / "photos.tar"
        source.write_bytes(tar({"0.png": data[0], "1.png": data[1]}))
    else:
        source = tmp_path / "photos.parquet"
        source.write_bytes(parquet({"image_id": ["0", "1"], "image": data}))
    scored(source, tmp_path / "table")
    dark, bright = (made(tmp_path / "table", number) for number in range(2))
    assert (dark.width, dark.height) == opened(dark).size == (320, 240)
    assert np.asarray(opened(dark).convert("L")).mean() == pytest.approx(20, abs=3)
    assert np.asarray(opened(bright).convert("L")).mean() == pytest.approx(220, abs=3)


def test_a_picture_of_noise_is_small_too(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    (tmp_path / "photos" / "noise.png").write_bytes(encoded(Image.fromarray(noise)))
    scored(tmp_path / "photos", tmp_path / "table")
    for size in (SMALL, LARGE):
        [thumbnail] = thumbnails([table_at(tmp_path / "table")], {("table", 0): size}).values()
        assert thumbnail.url is not None
        assert len(thumbnail.url) * 3 / 4 <= size.max_bytes + 30
        assert thumbnail.width == size.long_side_px


def test_a_picture_that_is_gone_or_no_picture_any_more_has_a_reason(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "photos" / name).write_bytes(encoded(picture()))
    scored(tmp_path / "photos", tmp_path / "table")
    (tmp_path / "photos" / "0.png").unlink()
    (tmp_path / "photos" / "1.png").write_bytes(b"a letter")
    assert made(tmp_path / "table", 0) == Thumbnail(None, 0, 0, "not_found")
    assert made(tmp_path / "table", 1) == Thumbnail(None, 0, 0, UNREADABLE)


def test_without_the_plan_there_are_no_pictures(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.png").write_bytes(encoded(picture()))
    scored(tmp_path / "photos", tmp_path / "table")
    (tmp_path / "table" / "manifest" / "000000.parquet").write_bytes(b"damaged")
    assert made(tmp_path / "table").reason == "not_found"
