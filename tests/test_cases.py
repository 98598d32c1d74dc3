"""Small inputs that failed once, scored as a user would. What each is about is tested beside its code as well."""

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artimuse.cli import main


@pytest.fixture
def cases(test_data: Path) -> Path:
    return test_data / "corpora" / "cases"


def score(input: Path, output: Path, *options: str) -> int:
    return main(["score", str(input), str(output), "--engine", "fake", "--workers", "0", *options])


def table(output: Path) -> dict[str, dict]:
    return {row["image_id"]: row for row in pq.read_table(output / "scores").to_pylist()}


@pytest.mark.parametrize(
    ("name", "image_ids"),
    [
        ("concatenated.tar", {"000", "001", "002"}),
        ("dotslash.tar", {"a", "sub/./b", "../up/c", "/abs/d"}),
        ("symlink_other.tar", {"a"}),
        ("hard_other.tar", {"a"}),
        ("workflow_itxt.png", {"workflow_itxt.png"}),
        ("profile_big.png", {"profile_big.png"}),
        ("phone_o6.jpg", {"phone_o6.jpg"}),
        ("phone_o6.tif", {"phone_o6.tif"}),
        ("nulltype_shards", {"a.parquet#0", "b.parquet#0"}),
        ("dictionary_image_id.parquet", None),
        ("bigint.jsonl", None),
        ("surrogate.jsonl", None),
    ],
)
def test_it_is_scored_whole(cases: Path, tmp_path: Path, name: str, image_ids: set[str] | None):
    assert score(cases / name, tmp_path) == 0
    found = table(tmp_path)
    assert all(row["status"] == "ok" for row in found.values())
    assert image_ids is None or found.keys() == image_ids
    assert main(["verify", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("case_columns_images.parquet", "more than one column would be stored as caption"),
        ("duplicate_image_column.parquet", "more than one column would be stored as image"),
        ("datedots.tar", "trip/2021.07.04 beach.png, trip/2021.07.05 beach.png have the same key"),
        ("twoexts.tar", "0001.png, 0001.jpg have the same key"),
    ],
)
def test_it_is_refused_in_one_line(cases: Path, tmp_path: Path, capsys, name: str, complaint: str):
    assert score(cases / name, tmp_path / "out") == 1
    [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert complaint in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["datedots.tar", "twoexts.tar"])
def test_names_may_be_the_ids(cases: Path, tmp_path: Path, name: str):
    assert score(cases / name, tmp_path, "--tar-ids", "names") == 0
    assert len(table(tmp_path)) == 2


def test_a_long_cell_of_csv_passes_through(cases: Path, tmp_path: Path):
    (tmp_path / "longcell.csv").write_bytes(gzip.decompress((cases / "longcell.csv.gz").read_bytes()))
    for path in cases.glob("t?.png"):
        shutil.copy(path, tmp_path)
    assert score(tmp_path / "longcell.csv", tmp_path / "out") == 0
    assert max(len(str(value)) for row in table(tmp_path / "out").values() for value in row.values()) >= 140_000


def test_embeddings_of_16_bits_do_not_hinder_texts(cases: Path, tmp_path: Path):
    assert score(cases / "float16_column.parquet", tmp_path, "--attributes", "overall_gestalt") == 0
    assert all(row["overall_gestalt"] for row in table(tmp_path).values())


def test_rows_of_a_parquet_file_that_was_rewritten_between_runs_fail(cases: Path, tmp_path: Path, monkeypatch):
    """The script is run in processes of its own, as it is written for."""
    script = [sys.executable, str(cases / "parquet_rewritten_between_runs.py")]
    monkeypatch.chdir(tmp_path)
    subprocess.run(script, check=True)
    assert score(Path("set.parquet"), Path("out"), "--limit", "1") == 0
    subprocess.run([*script, "flip"], check=True)
    assert score(Path("set.parquet"), Path("out")) == 3
    found = table(Path("out"))
    assert {name: row["status"] for name, row in found.items()} == {"dark": "ok", "mid": "ok", "bright": "failed"}
    assert "the Parquet file has changed: its row 2 is now 'dark'" in found["bright"]["error"]


@pytest.mark.parametrize(("name", "image_format"), [("gray_deep.png", "PNG deep"), ("float_hdr.tif", "TIFF float")])
def test_a_score_that_nobody_should_trust_is_told(cases: Path, tmp_path: Path, capsys, name: str, image_format: str):
    assert score(cases / name, tmp_path) == 0
    [row] = table(tmp_path).values()
    assert row["format"] == image_format
    assert "1 of grey pixels cut off at 255" in capsys.readouterr().err


def test_texts_with_tokens_of_the_prompt_are_not_learnt(cases: Path, tmp_path: Path, capsys):
    options = ["--preset", "paper_text_pretrain", "--base", "nano", "--workers", "0"]
    assert main(["train", str(cases / "train_special_tokens.jsonl"), str(tmp_path / "out"), *options]) == 1
    assert "image 'p0': question or text has <|im_end|> in it" in capsys.readouterr().err
