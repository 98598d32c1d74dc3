"""Formats of selected images, read back by the libraries that they are for."""

import json
from pathlib import Path
from typing import Any

import pytest

from artimuse.curation.materialize.names import sidecar
from tests.curation.materialize.materialized import files, materialize, parts, pictures, scored_pictures, select

Capture = pytest.CaptureFixture[str]
NUM_IMAGES = 10
PROMPTS = ["", *(f"a picture\nno. {number}" for number in range(1, NUM_IMAGES))]
IDS = ["test/a.b.png", "train/x.png", *(f"sub/{number}.v1.png" for number in range(2, NUM_IMAGES))]
IMAGES = dict(zip(IDS, pictures(NUM_IMAGES).values()))


@pytest.fixture
def selection(tmp_path: Path) -> str:
    table = scored_pictures(tmp_path / "in", IMAGES, prompt=PROMPTS, mask_file_name=["m"] * NUM_IMAGES)
    return select(table, to=tmp_path / "selection.parquet")


def raw(found: Any, name: str) -> list[bytes]:
    """The bytes of an image column, not decoded."""
    import datasets

    rows = found.cast_column(name, datasets.Image(decode=False))
    return [row["bytes"] or Path(row["path"]).read_bytes() for row in rows[name]]


@pytest.mark.parametrize("by", ["path", "name"])
def test_imagefolder_is_read_by_datasets(selection: str, tmp_path: Path, datasets: Any, by: str, capsys: Capture):
    materialize(selection, tmp_path / "to", "imagefolder", capsys=capsys)
    if by == "path":
        found = datasets.load_dataset(f"{tmp_path}/to", split="train")
    else:
        found = datasets.load_dataset(
            "imagefolder", data_dir=f"{tmp_path}/to", data_files={"train": "**"}, split="train"
        )
    rows = {row["image_id"]: row for row in found.remove_columns("image")}
    assert set(rows) == set(IDS)
    assert dict(zip(found["image_id"], raw(found, "image"))) == IMAGES
    assert found[0]["image"].size == (64, 48)
    assert [rows[image_id]["prompt"] for image_id in IDS[1:]] == PROMPTS[1:]
    assert rows[IDS[3]]["mask_file_name_"] == "m"
    assert 0 <= rows[IDS[0]]["score"] < rows[IDS[-1]]["score"] <= 100
    assert all(int(row["phash"]) < 2**64 for row in rows.values())


def test_imagefolder_tells_the_type_of_every_column_first(tmp_path: Path, datasets: Any, capsys: Capture):
    """A column whose first value comes after 10 MB of metadata would be without a type."""
    long = ["x" * 2_500_000] * 5
    images = pictures(6)
    table = scored_pictures(tmp_path / "in", images, late=[*[""] * 5, "at last"], text=[*long, ""])
    options = ("--where", "late IS NULL OR late <> 'never'")
    materialize(
        select(table, to=tmp_path / "selection.parquet", options=options), tmp_path / "to", "imagefolder", capsys=capsys
    )
    lines = [json.loads(line) for line in (tmp_path / "to" / "metadata.jsonl").read_text().splitlines()]
    assert {line["image_id"] for line in lines[:2]} == {"000.png", "005.png"}
    found = datasets.load_dataset(f"{tmp_path}/to", split="train")
    assert dict(zip(found["image_id"], found["late"]))["005.png"] == "at last"


def test_webdataset_is_read_by_webdataset(selection: str, tmp_path: Path, capsys: Capture):
    from webdataset import tariterators

    report = materialize(selection, tmp_path / "to", "webdataset", "--caption", "prompt", capsys=capsys)
    assert report["num_without_caption"] == 1
    # What `webdataset.WebDataset` does with a file, which it would leave open.
    with (tmp_path / "to" / "000000.tar").open("rb") as file:
        members = tariterators.tar_file_expander([{"url": "000000.tar", "stream": file}])
        samples = list(tariterators.group_by_keys(members))
    rows = [json.loads(sample["json"]) for sample in samples]
    assert {row["image_id"]: sample["png"] for row, sample in zip(rows, samples)} == IMAGES
    assert [row["image_id"] for row in rows] == IDS
    assert [sample.get("txt", b"").decode() for sample in samples] == ["", *(p.replace("\n", " ") for p in PROMPTS[1:])]
    assert rows[0]["sha256"]
    assert len(rows[0]["score_probs"]) == 101


def test_webdataset_is_read_by_datasets(selection: str, tmp_path: Path, datasets: Any, capsys: Capture):
    materialize(selection, tmp_path / "to", "webdataset", capsys=capsys)
    found = datasets.load_dataset("webdataset", data_files=f"{tmp_path}/to/*.tar", split="train")
    assert dict(zip([row["image_id"] for row in found["json"]], raw(found, "png"))) == IMAGES


def test_webdataset_shards_are_bounded(
    selection: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("artimuse.configs.materialize.MB", 20_000)
    materialize(selection, tmp_path / "to", "webdataset", "--shard-mb", "1", capsys=capsys)
    found = files(tmp_path / "to")
    assert len(found) > 3
    assert list(found) == [f"{number:06d}.tar" for number in range(len(found))]
    assert sum(map(len, found.values())) < 3 * sum(map(len, IMAGES.values())) + 10_240 * len(found)


def test_kohya_reads_one_folder_with_captions_of_one_line(selection: str, tmp_path: Path, capsys: Capture):
    report = materialize(selection, tmp_path / "to", "kohya", "--caption", "prompt", capsys=capsys)
    found = files(tmp_path / "to")
    assert report["num_without_caption"] == 1
    assert report["num_mapped"] == NUM_IMAGES
    assert {name: data for name, data in found.items() if name.endswith(".png")} == {
        image_id.replace("/", "-"): data for image_id, data in IMAGES.items()
    }
    assert "test-a.b.txt" not in found
    assert found["sub-3.v1.txt"] == b"a picture no. 3"


def test_onetrainer_keeps_folders(selection: str, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "onetrainer", "--caption", "prompt", capsys=capsys)
    found = files(tmp_path / "to")
    assert {name: data for name, data in found.items() if name.endswith(".png")} == IMAGES
    assert found["sub/3.v1.txt"] == b"a picture no. 3"


def test_onetrainer_keeps_files_and_folders_of_one_name_apart(tmp_path: Path, capsys: Capture):
    ids = ["a.png", "a.png/b.png", "c.png", "c.txt/d.png", "x.png", "x/y.png"]
    images = dict(zip(ids, pictures(len(ids)).values()))
    table = scored_pictures(tmp_path / "in", images, prompt=ids)
    chosen = select(table, to=tmp_path / "selection.parquet")
    report = materialize(chosen, tmp_path / "to", "onetrainer", "--caption", "prompt", capsys=capsys)
    assert report["num_mapped"] == 2
    found = files(tmp_path / "to")
    for part in parts(tmp_path / "to"):
        assert found[part["file"]] == images[part["image_id"]]
        assert found[sidecar(part["file"])].decode() == part["image_id"]
    assert {"x.png", "x/y.png"} <= set(found)


def test_files_that_a_trainer_leaves_out_are_counted(tmp_path: Path, capsys: Capture):
    from tests.pictures import encoded, picture

    images = {"a.gif": encoded(picture(50), "GIF"), "b.png": encoded(picture(60))}
    table = scored_pictures(tmp_path / "in", images, prompt=["x", "y"])
    chosen = select(table, to=tmp_path / "selection.parquet")
    assert materialize(chosen, tmp_path / "to", "kohya", "--caption", "prompt", capsys=capsys)["num_unread"] == 1
