"""The main job in this process, from the command line to the Parquet table. `test_on_ray.py` has it on a cluster."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from artimuse.cli import main
from artimuse.table.schema import SCORE_COLUMNS
from tests.pictures import good_folder, mixed_folder

FAKE = ("--engine", "fake", "--workers", "0")
NANO = ("--model", "nano", "--workers", "0")


def table(output: Path) -> list[dict]:
    return pq.read_table(output / "scores").sort_by("row_number").to_pylist()


def parts(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / "scores").iterdir()}


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def test_every_image_gets_one_row_and_bad_files_say_why(tmp_path):
    expected = mixed_folder(tmp_path / "in")
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 3
    rows = table(tmp_path / "out")
    assert {row["image_id"]: row["error_code"] for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        is_good = expected[row["image_id"]] is None
        assert row["status"] == ("ok" if is_good else "failed")
        assert (row["score"] is not None) == is_good == (row["error"] is None) == (row["phash"] is not None)
    good = [row for row in rows if row["status"] == "ok"]
    assert all(abs(row["score"] - 50) < 2 for row in good)
    assert all((row["width"], row["height"], row["format"]) == (64, 48, "JPEG") for row in good)


def test_max_failed_is_the_fraction_that_is_tolerated(tmp_path):
    mixed_folder(tmp_path / "in")
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--max-failed", "0.5") == 0


def test_json_report_and_run_file_and_table_agree(tmp_path, capsys):
    good_folder(tmp_path / "in", 20)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["report"] == report
    assert (report["num_rows"], report["num_new_rows"], report["num_failed"]) == (20, 20, 0)
    assert report["skipped"] == {".txt": 1}
    assert sum(report["rows_by_worker_node"].values()) == 20
    scores = sorted(row["score"] for row in table(tmp_path / "out"))
    assert report["score_quantiles"]["min"] == pytest.approx(scores[0], abs=0.01)
    assert report["score_quantiles"]["max"] == pytest.approx(scores[-1], abs=0.01)


def test_table_has_the_columns_of_the_schema_with_units_and_duckdb_reads_it(tmp_path):
    good_folder(tmp_path / "in", 3)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    part = pq.read_table(next((tmp_path / "out" / "scores").iterdir()))
    assert tuple(part.column_names) == SCORE_COLUMNS
    assert b"higher is better" in part.schema.field("score").metadata[b"direction"]
    values = json.loads(part.schema.field("score_probs").metadata[b"values"])
    assert values == list(range(101))
    for row in part.to_pylist():
        assert np.dot(values, row["score_probs"]) == pytest.approx(row["score"], abs=0.05)
    query = f"SELECT count(*) FROM '{tmp_path}/out/scores/*.parquet' WHERE score > 30 AND len(score_probs) = 101"
    assert duckdb.execute(query).fetchone() == (2,)


def test_finished_run_again_does_nothing_and_says_so(tmp_path, capsys):
    good_folder(tmp_path / "in", 5)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    before = parts(tmp_path / "out")
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert parts(tmp_path / "out") == before
    assert "nothing to do" in capsys.readouterr().err


def test_second_run_does_only_what_is_missing(tmp_path, capsys):
    good_folder(tmp_path / "in", 70)
    assert score(tmp_path / "in", tmp_path / "undisturbed", *FAKE) == 0
    # One row short: the parts of a whole shard are merged.
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--limit", 69) == 0
    names = sorted(parts(tmp_path / "out"))
    assert len(names) > 2
    (tmp_path / "out" / "scores" / names[1]).unlink()
    (tmp_path / "out" / "scores" / names[2]).write_bytes(b"PAR1 torn")
    capsys.readouterr()
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--json") == 0
    lost = sum(int(name.split("-")[2]) for name in names[1:3])
    assert json.loads(capsys.readouterr().out)["num_new_rows"] == lost + 1
    assert table(tmp_path / "out") == table(tmp_path / "undisturbed")


def test_parts_of_a_whole_shard_become_one_file(tmp_path):
    good_folder(tmp_path / "in", 70)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--rows-per-part", 20) == 0
    assert len(parts(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("--strategy", "levels_5"), "strategy"),
        (("--engine", "transformers", "--model", "nano"), "weights"),
        (("--dtype", "bfloat16"), "dtype"),
    ],
)
def test_other_settings_on_the_same_output_are_refused_naming_the_field(tmp_path, capsys, change, field):
    good_folder(tmp_path / "in", 2)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    before = parts(tmp_path / "out")
    capsys.readouterr()
    assert score(tmp_path / "in", tmp_path / "out", "--workers", "0", "--engine", "fake", *change) == 1
    assert f"score {field}" in capsys.readouterr().err
    assert parts(tmp_path / "out") == before


def test_another_input_on_the_same_output_is_refused(tmp_path, capsys):
    good_folder(tmp_path / "in", 2)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert score(good_folder(tmp_path / "other", 2), tmp_path / "out", *FAKE) == 1
    assert "plan input" in capsys.readouterr().err


def test_an_output_with_files_of_its_own_is_left_alone(tmp_path, capsys):
    good_folder(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_duplicate_ids_are_an_error_before_anything_runs(tmp_path, capsys):
    good_folder(tmp_path / "in", 3)
    lines = ["image_id,uri", "a,in/0000.png", "b,in/0001.png", "a,in/0002.png"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert score(tmp_path / "list.csv", tmp_path / "out", *FAKE) == 1
    assert "a" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_manifest_columns_pass_through_and_ours_are_kept_apart(tmp_path):
    good_folder(tmp_path / "in", 2)
    records = [
        {"image_id": "x", "uri": "in/0000.png", "prompt": "a cat", "score": 7.5, "tags": ["a", "b"]},
        {"image_id": "y", "uri": "in/0001.png", "prompt": None, "score": 1.0, "tags": []},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert score(tmp_path / "list.jsonl", tmp_path / "out", *FAKE) == 0
    first, second = table(tmp_path / "out")
    assert (first["image_id"], first["prompt"], first["input_score"], first["tags"]) == ("x", "a cat", 7.5, ["a", "b"])
    assert (second["prompt"], second["tags"]) == (None, [])
    assert first["score"] != 7.5


def test_a_broken_checkpoint_is_one_clear_line(tmp_path, capsys, copy_of_nano):
    good_folder(tmp_path / "in", 2)
    model = copy_of_nano(without="model.language_model.norm.weight")
    assert score(tmp_path / "in", tmp_path / "out", "--model", model, "--workers", "0") == 1
    shown = capsys.readouterr().err
    assert "model.language_model.norm.weight" in shown
    assert "Traceback" not in shown


def test_the_same_run_with_a_repaired_checkpoint_is_another_model(tmp_path, capsys, copy_of_nano):
    good_folder(tmp_path / "in", 2)
    model = copy_of_nano()
    assert score(tmp_path / "in", tmp_path / "out", "--model", model, "--workers", "0") == 0
    shutil.copy(copy_of_nano(noise=0.01) / "model.safetensors", model)
    assert score(tmp_path / "in", tmp_path / "out", "--model", model, "--workers", "0") == 1
    assert "score weights" in capsys.readouterr().err


def test_what_the_demonstration_model_is_not_is_said_everywhere(tmp_path, capsys):
    good_folder(tmp_path / "in", 2)
    assert score(tmp_path / "in", tmp_path / "out", *NANO) == 0
    assert "not a judge of photographs" in " ".join(capsys.readouterr().err.split())
    assert "not a judge of photographs" in json.loads((tmp_path / "out" / "run.json").read_text())["note"]


@pytest.mark.parametrize("fixture", ["tiny", "tiny-lora"])
def test_official_checkpoints_score_as_the_official_code_does(tmp_path, test_data, fixture):
    official = test_data / "fixtures/official"
    expected = json.loads((official / fixture / "expected.json").read_text())["images"]
    assert score(official / "images", tmp_path / "out", "--model", official / fixture, "--workers", "0") == 0
    scores = {row["image_id"]: row["score"] for row in table(tmp_path / "out")}
    assert scores.keys() == expected.keys()
    for name, facts in expected.items():
        assert scores[name] == pytest.approx(facts["score"], abs=1e-3), name
