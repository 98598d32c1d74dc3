"""Formats of pairs, read back as their trainers do."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artimuse.cli import main
from artimuse.curation.selection import Selection
from tests.curation.materialize.materialized import digest, files, materialize, parts, pictures, scored_pictures, select
from tests.curation.materialize.test_formats import raw
from tests.pictures import encoded, picture

Capture = pytest.CaptureFixture[str]
NUM_IMAGES = 12
IDS = [f"{number:02d}" + (".png" if number % 2 else "") for number in range(NUM_IMAGES)]
IMAGES = dict(zip(IDS, pictures(NUM_IMAGES).values())) | {"00": encoded(picture(40), "JPEG")}
PROMPTS = [f"prompt {number % 3}" for number in range(NUM_IMAGES)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    scored_pictures(tmp_path / "in", IMAGES, prompt=PROMPTS)
    return tmp_path / "in" / "files"


@pytest.fixture
def selection(source: Path, tmp_path: Path) -> str:
    options = ("--pairs", "prompt", "--pairs-per-prompt", "3")
    return select(f"{tmp_path}/in/table", to=tmp_path / "pairs.parquet", options=options)


def expected_pairs(selection: str) -> list[dict[str, Any]]:
    rows = [row for batch in Selection.at(selection).batches() for row in batch.to_pylist()]
    assert len(rows) == 9
    return rows


def test_diffusers_dpo_has_the_winner_first_and_says_so(selection: str, tmp_path: Path, datasets: Any, capsys: Capture):
    materialize(selection, tmp_path / "to", "diffusers-dpo", capsys=capsys)
    found = datasets.load_dataset(f"{tmp_path}/to", split="train")
    assert set(found["label_0"]) == {1}
    for row, pair in zip(found, expected_pairs(selection), strict=True):
        assert (digest(row["jpg_0"]), digest(row["jpg_1"])) == (pair["winner_sha256"], pair["loser_sha256"])
        assert row["caption"] == pair["prompt"]
        Image.open(BytesIO(row["jpg_0"])).load()


def test_pickscore_has_labels_of_both_places(selection: str, tmp_path: Path, datasets: Any, capsys: Capture):
    materialize(selection, tmp_path / "to", "pickscore", capsys=capsys)
    found = datasets.load_dataset(f"{tmp_path}/to", split="train")
    assert set(found["label_0"]) == {0.0, 1.0}
    for row, pair in zip(found, expected_pairs(selection), strict=True):
        winner, loser = ("jpg_0", "jpg_1") if row["label_0"] else ("jpg_1", "jpg_0")
        assert (digest(row[winner]), digest(row[loser])) == (pair["winner_sha256"], pair["loser_sha256"])
        assert row["label_0"] + row["label_1"] == 1
        assert (row["num_example_per_prompt"], row["has_label"], row["are_different"]) == (3, True, True)
        assert row["image_0_uid" if row["label_0"] else "image_1_uid"] == f"table/{pair['winner_image_id']}"


def test_trl_shows_both_images_and_prefers_an_answer(selection: str, tmp_path: Path, datasets: Any, capsys: Capture):
    materialize(selection, tmp_path / "to", "trl", capsys=capsys)
    found = datasets.load_dataset(f"{tmp_path}/to", split="train")
    first = "The first image is better."
    shown = found.cast_column("images", datasets.List(datasets.Image(decode=False)))
    for row, pair in zip(shown, expected_pairs(selection), strict=True):
        images = [digest(image["bytes"]) for image in row["images"]]
        is_first = row["chosen"][0]["content"] == first
        assert images[not is_first] == pair["winner_sha256"]
        assert images[is_first] == pair["loser_sha256"]
        assert row["rejected"][0]["content"] != row["chosen"][0]["content"]
        assert pair["prompt"] in row["prompt"][0]["content"]
    assert len({row["chosen"][0]["content"] for row in found}) == 2
    assert found[0]["images"][0].size == (64, 48)


def test_simpletuner_has_equal_names_in_both_folders(selection: str, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "simpletuner", capsys=capsys)
    found = files(tmp_path / "to")
    win = {name.partition("/")[2] for name in found if name.startswith("win/")}
    assert win == {name.partition("/")[2] for name in found if name.startswith("lose/")}
    for number, pair in enumerate(expected_pairs(selection)):
        [name] = [name for name in win if name.startswith(f"{number:09d}") and not name.endswith(".txt")]
        assert digest(found[f"win/{name}"]) == pair["winner_sha256"]
        assert digest(found[f"lose/{name}"]) == pair["loser_sha256"]
        assert found[f"win/{number:09d}.txt"].decode() == pair["prompt"]


def test_hpsv3_lists_paths_that_exist(selection: str, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "hpsv3", capsys=capsys)
    listed = json.loads((tmp_path / "to" / "train.json").read_text())
    for entry, pair in zip(listed, expected_pairs(selection), strict=True):
        assert digest(Path(entry["path1"]).read_bytes()) == pair["winner_sha256"]
        assert digest(Path(entry["path2"]).read_bytes()) == pair["loser_sha256"]
        assert entry["prompt"] == pair["prompt"]


def test_imagereward_ranks_the_winner_lower(selection: str, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "imagereward", capsys=capsys)
    listed = json.loads((tmp_path / "to" / "train.json").read_text())
    for entry, pair in zip(listed, expected_pairs(selection), strict=True):
        found = [digest((tmp_path / "to" / name).read_bytes()) for name in entry["generations"]]
        assert found == [pair["winner_sha256"], pair["loser_sha256"]]
        assert entry["ranking"] == [1, 2]
    images = [name for name in files(tmp_path / "to") if name != "train.json"]
    assert len(images) == len({part["image_id"] for part in parts(tmp_path / "to")}) <= NUM_IMAGES
    assert "images/00.jpg" in images
    assert "images/02.png" in images


@pytest.mark.parametrize("layout", ["diffusers-dpo", "simpletuner", "hpsv3"])
def test_a_pair_without_one_of_its_images_is_left_out(
    selection: str, source: Path, tmp_path: Path, layout: str, capsys: Capture
):
    (source / "0011").write_bytes(b"something else")
    report = materialize(selection, tmp_path / "to", layout, capsys=capsys, status=3)
    lost = sum("11.png" in (pair["winner_image_id"], pair["loser_image_id"]) for pair in expected_pairs(selection))
    assert lost > 0
    if layout == "hpsv3":
        assert len(json.loads((tmp_path / "to" / "train.json").read_text())) == 9 - lost
        assert report["notes"] == {"pairs left out, for want of an image": lost}
        assert report["num_failed"] == 1
    else:
        assert report["num_failed"] == lost
        assert report["errors"] == {"changed": lost, "partner": lost}
    if layout == "simpletuner":
        assert len(files(tmp_path / "to")) == 4 * (9 - lost)


@pytest.mark.parametrize(("layout", "counted"), [("hpsv3", "images"), ("imagereward", "images"), ("trl", "pairs")])
def test_what_is_counted_is_called_by_its_name(
    selection: str, tmp_path: Path, layout: str, counted: str, capsys: Capture
):
    assert main(["materialize", selection, f"{tmp_path}/to", "--format", layout]) == 0
    shown = capsys.readouterr().err
    pairs = expected_pairs(selection)
    num_images = len({pair[f"{side}_image_id"] for pair in pairs for side in ("winner", "loser")})
    num_entries = {"images": num_images, "pairs": len(pairs)}[counted]
    assert f"{num_entries} of {num_entries} {counted} as {layout}\n" in shown
    assert f"this run: {num_entries} {counted}," in shown


@pytest.mark.parametrize("layout", ["hpsv3", "imagereward"])
def test_files_and_folders_of_one_name_are_kept_apart(tmp_path: Path, layout: str, capsys: Capture):
    ids = ["a", "a.png/b.png", "c.png", "c.png/d.png"]
    images = dict(zip(ids, pictures(len(ids)).values()))
    table = scored_pictures(tmp_path / "in", images, prompt=["one"] * len(ids))
    chosen = select(table, to=tmp_path / "pairs.parquet", options=("--pairs", "prompt", "--pairs-per-prompt", "9"))
    report = materialize(chosen, tmp_path / "to", layout, capsys=capsys)
    assert report["num_mapped"] == 2
    found = files(tmp_path / "to")
    assert {part["image_id"]: found[part["file"]] for part in parts(tmp_path / "to")} == images


def test_raw_images_are_those_of_the_selection(selection: str, tmp_path: Path, datasets: Any, capsys: Capture):
    """What `raw` gives the other tests is not decoded on the way."""
    materialize(selection, tmp_path / "to", "imagereward", capsys=capsys)
    found = datasets.load_dataset("imagefolder", data_dir=f"{tmp_path}/to/images", split="train", drop_labels=True)
    assert {digest(image) for image in raw(found, "image")} <= {digest(image) for image in IMAGES.values()}
