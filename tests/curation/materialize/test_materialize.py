"""`artimuse materialize`: the bytes of the originals, from everywhere, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.curation.materialize.materialized import (
    digest,
    files,
    materialize,
    parts,
    pictures,
    refusal,
    score,
    scored_pictures,
    select,
)
from tests.pictures import encoded, good_folder, mixed_folder, picture
from tests.sources.containers import HF_IMAGE, parquet, tar

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return good_folder(tmp_path / "photos", 12)


@pytest.fixture
def selection(photos: Path, tmp_path: Path) -> str:
    return select(score(photos, tmp_path / "table"), to=tmp_path / "selection.parquet")


def test_files_of_a_folder_are_copied_byte_by_byte(selection: str, photos: Path, tmp_path: Path, capsys: Capture):
    report = materialize(selection, tmp_path / "to", "folder", capsys=capsys)
    assert files(tmp_path / "to") == files(photos)
    assert (report["num_entries"], report["num_copied"], report["num_failed"], report["num_mapped"]) == (12, 12, 0, 0)
    record = json.loads((tmp_path / "to" / "materialize.json").read_text())
    assert (record["status"], record["selection"], record["report"]["num_copied"]) == ("finished", selection, 12)
    assert [(part["image_id"], part["file"]) for part in parts(tmp_path / "to")] == [
        (f"{number:04d}.png",) * 2 for number in range(12)
    ]


def test_only_selected_images_are_copied(photos: Path, tmp_path: Path, capsys: Capture):
    best = select(score(photos, tmp_path / "table"), to=tmp_path / "selection.parquet", options=("--top", "3"))
    materialize(best, tmp_path / "to", "folder", capsys=capsys)
    assert sorted(files(tmp_path / "to")) == ["0009.png", "0010.png", "0011.png"]


def test_images_of_tars_are_copied_with_suffixes(tmp_path: Path, capsys: Capture):
    (tmp_path / "tars").mkdir()
    images = pictures(9, "JPEG")
    for number in range(3):
        members = dict(list(images.items())[3 * number : 3 * number + 3])
        (tmp_path / "tars" / f"{number}.tar").write_bytes(tar(members))
    chosen = select(score(tmp_path / "tars", tmp_path / "table"), to=tmp_path / "selection.parquet")
    report = materialize(chosen, tmp_path / "to", "folder", capsys=capsys)
    expected = {f"{int(name[:3]) // 3}.tar#{name[:3]}.jpg": data for name, data in images.items()}
    assert files(tmp_path / "to") == expected
    assert report["num_mapped"] == 0


def test_images_of_parquet_files_are_copied_with_suffixes(tmp_path: Path, capsys: Capture):
    images = list(pictures(10).values())
    cells = pa.array([{"bytes": data, "path": None} for data in images], HF_IMAGE)
    (tmp_path / "in.parquet").write_bytes(parquet({"image": cells}, row_group_size=4))
    chosen = select(score(tmp_path / "in.parquet", tmp_path / "table"), to=tmp_path / "selection.parquet")
    materialize(chosen, tmp_path / "to", "folder", capsys=capsys)
    assert files(tmp_path / "to") == {f"in.parquet#{row}.png": data for row, data in enumerate(images)}


def test_a_url_is_a_dest(selection: str, photos: Path, memory_url: str, capsys: Capture):
    import fsspec

    materialize(selection, f"{memory_url}/to", "folder", capsys=capsys)
    store = fsspec.filesystem("memory")
    found = {path.rpartition("/")[2]: store.cat(path) for path in store.find(f"{memory_url}/to") if ".png" in path}
    assert found == files(photos)
    assert materialize(selection, f"{memory_url}/to", "folder", capsys=capsys)["num_new"] == 0


def test_awkward_names_of_a_real_folder_are_copied(tmp_path: Path, capsys: Capture):
    (tmp_path / "photos").mkdir()
    expected = mixed_folder(tmp_path / "photos")
    chosen = select(score(tmp_path / "photos", tmp_path / "table"), to=tmp_path / "selection.parquet")
    report = materialize(chosen, tmp_path / "to", "folder", capsys=capsys)
    good = [name for name, code in expected.items() if code is None]
    assert report["num_mapped"] == 1
    assert sorted(files(tmp_path / "to")) == sorted(name.replace("\\", "%5C") for name in good)


def test_hostile_ids_stay_inside_and_apart(tmp_path: Path, capsys: Capture):
    ids = ["../up.png", "/abs.png", "CON.png", "a.png", "A.png", "a.png/b.png", "c\\d.png", ".materialize/x.png"]
    images = dict(zip(ids, pictures(len(ids)).values()))
    chosen = select(scored_pictures(tmp_path / "in", images), to=tmp_path / "selection.parquet")
    report = materialize(chosen, tmp_path / "below" / "to", "folder", capsys=capsys)
    assert report["num_mapped"] == len(ids) - 1
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["to"]
    found = files(tmp_path / "below" / "to")
    assert len({name.lower() for name in found}) == len(ids)
    for part in parts(tmp_path / "below" / "to"):
        assert found[part["file"]] == images[part["image_id"]]


def test_two_tables_have_a_folder_each(photos: Path, tmp_path: Path, capsys: Capture):
    tables = [score(photos, tmp_path / name) for name in ("first", "second")]
    chosen = select(*tables, to=tmp_path / "selection.parquet")
    materialize(chosen, tmp_path / "to", "folder", capsys=capsys)
    originals = files(photos)
    assert files(tmp_path / "to") == {
        f"{table}/{name}": data for table in ("first", "second") for name, data in originals.items()
    }


def test_files_that_have_changed_are_not_copied_but_reported(
    selection: str, photos: Path, tmp_path: Path, capsys: Capture
):
    original = files(photos)
    (photos / "0003.png").write_bytes(original["0003.png"][:-1] + b"x")
    (photos / "0004.png").write_bytes(original["0004.png"] + b"more")
    (photos / "0005.png").unlink()
    report = materialize(selection, tmp_path / "to", "folder", capsys=capsys, status=3)
    gone = {"0003.png", "0004.png", "0005.png"}
    assert files(tmp_path / "to") == {name: data for name, data in original.items() if name not in gone}
    assert report["errors"] == {"changed": 2, "not_found": 1}
    record = json.loads((tmp_path / "to" / "materialize.json").read_text())
    assert {failed["image_id"]: failed["error_code"] for failed in record["failed"]} == {
        "0003.png": "changed",
        "0004.png": "changed",
        "0005.png": "not_found",
    }
    assert materialize(selection, tmp_path / "to", "folder", "--max-failed", "0.25", capsys=capsys)["num_new"] == 0
    for name in gone:
        (photos / name).write_bytes(original[name])
    again = materialize(selection, tmp_path / "to", "folder", "--retry-failed", capsys=capsys)
    assert (again["num_failed"], files(tmp_path / "to")) == (0, original)


def test_links_share_the_file(selection: str, photos: Path, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "imagefolder", "--link", capsys=capsys)
    assert all((photos / f"{n:04d}.png").samefile(tmp_path / "to" / f"{n:04d}.png") for n in range(12))


def test_a_link_is_made_only_of_what_was_scored(selection: str, photos: Path, tmp_path: Path, capsys: Capture):
    (photos / "0003.png").write_bytes(encoded(picture(7)))
    report = materialize(selection, tmp_path / "to", "folder", "--link", capsys=capsys, status=3)
    assert (report["errors"], (tmp_path / "to" / "0003.png").exists()) == ({"changed": 1}, False)


def test_links_are_refused_where_there_can_be_none(selection: str, tmp_path: Path, memory_url: str, capsys: Capture):
    assert "is not on a disk" in refusal(selection, memory_url, "folder", "--link", capsys=capsys)
    assert "many images in one file" in refusal(selection, tmp_path / "a", "webdataset", "--link", capsys=capsys)
    (tmp_path / "x.tar").write_bytes(tar(pictures(3)))
    inside = select(score(tmp_path / "x.tar", tmp_path / "tars"), to=tmp_path / "inside.parquet")
    assert "inside tars or Parquet files" in refusal(inside, tmp_path / "b", "folder", "--link", capsys=capsys)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    if Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
        (other := Path(f"/dev/shm/artimuse-{os.getpid()}")).mkdir()
        try:
            assert "cannot share a file" in refusal(selection, other / "to", "folder", "--link", capsys=capsys)
        finally:
            shutil.rmtree(other)


def test_a_dest_with_other_files_is_refused(selection: str, tmp_path: Path, capsys: Capture):
    (tmp_path / "to" / "mine").mkdir(parents=True)
    assert "has files of its own (mine)" in refusal(selection, tmp_path / "to", "folder", capsys=capsys)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["mine"]


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_dest_that_is_a_link_to_nowhere_is_refused_as_such(
    selection: str, tmp_path: Path, below: str, capsys: Capture
):
    (link := tmp_path / "ln").symlink_to(tmp_path / "gone")
    said = refusal(selection, f"{link}{below}", "folder", capsys=capsys)
    assert f"{link} is a link to {tmp_path}/gone, where there is nothing" in said
    assert ".lock" not in said
    assert not (tmp_path / "gone").exists()


def test_other_settings_on_the_same_dest_are_refused(selection: str, tmp_path: Path, capsys: Capture):
    materialize(selection, tmp_path / "to", "folder", capsys=capsys)
    said = refusal(selection, tmp_path / "to", "imagefolder", capsys=capsys)
    assert "format: OUTPUT has 'folder', this run has 'imagefolder'" in said
    other = select(f"{tmp_path}/table", to=tmp_path / "other.parquet", options=("--top", "3"))
    assert "selection: another one than OUTPUT has" in refusal(other, tmp_path / "to", "folder", capsys=capsys)
    Path(selection).rename(tmp_path / "moved.parquet")
    assert materialize(f"{tmp_path}/moved.parquet", tmp_path / "to", "folder", capsys=capsys)["num_new"] == 0


def test_a_finished_run_is_left_as_it_is(selection: str, tmp_path: Path, capsys: Capture):
    first = materialize(selection, tmp_path / "to", "imagefolder", capsys=capsys)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").rglob("*") if path.name != ".lock"}
    again = materialize(selection, tmp_path / "to", "imagefolder", capsys=capsys)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again["num_copied"] == first["num_copied"]


def test_a_selection_that_is_not_whole_is_not_called_done(
    selection: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("artimuse.curation.materialize.units.ROWS_PER_UNIT", 5)
    rows = pq.read_table(selection)
    pq.write_table(rows.slice(0, 7), selection)
    assert "5 of 12 are done although the run has ended" in refusal(selection, tmp_path / "to", "folder", capsys=capsys)


def test_formats_of_the_other_kind_are_refused(selection: str, tmp_path: Path, capsys: Capture):
    said = refusal(selection, tmp_path / "to", "hpsv3", capsys=capsys)
    assert "is a selection of images, and --format hpsv3 is for pairs" in said
    assert "folder, imagefolder, kohya" in said
    assert not (tmp_path / "to").exists()


def test_captions_that_are_not_there_are_refused_with_those_that_are(selection: str, tmp_path: Path, capsys: Capture):
    said = refusal(selection, tmp_path / "to", "kohya", "--caption", "promt", capsys=capsys)
    assert "--caption promt:" in said
    assert "composition_and_design" in said
    assert "needs --caption COLUMN" in refusal(selection, tmp_path / "to", "onetrainer", capsys=capsys)
    said = refusal(selection, tmp_path / "to", "folder", "--caption", "image_id", capsys=capsys)
    assert "those with are kohya, onetrainer, webdataset" in said


def test_what_is_no_selection_is_refused(tmp_path: Path, photos: Path, capsys: Capture):
    (tmp_path / "x.parquet").write_bytes(parquet({"a": [1]}))
    assert "not a selection" in refusal(f"{tmp_path}/x.parquet", tmp_path / "to", "folder", capsys=capsys)
    assert "none.parquet: cannot be read" in refusal(
        f"{tmp_path}/none.parquet", tmp_path / "to", "folder", capsys=capsys
    )


def test_an_empty_selection_is_refused(photos: Path, tmp_path: Path, capsys: Capture):
    table = score(photos, tmp_path / "table")
    none = select(table, to=tmp_path / "none.parquet", options=("--where", "score > 100"))
    assert "the selection is empty" in refusal(none, tmp_path / "to", "folder", capsys=capsys)


def test_a_score_table_that_is_gone_is_named(selection: str, tmp_path: Path, capsys: Capture):
    (tmp_path / "table").rename(tmp_path / "elsewhere")
    said = refusal(selection, tmp_path / "to", "folder", capsys=capsys)
    assert f"{tmp_path}/table: the score table 'table' of the selection is not there any more" in said


def test_digests_are_of_the_table(selection: str, tmp_path: Path, capsys: Capture):
    """What the record says of a file is what is in it."""
    materialize(selection, tmp_path / "to", "folder", capsys=capsys)
    assert {digest(data) for data in files(tmp_path / "to").values()} == {
        digest(data) for data in files(tmp_path / "photos").values()
    }
