"""Selections of small tables, whose right answers are written out."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from artimuse.configs.select import SelectConfig
from artimuse.curation.select.run import run
from artimuse.curation.selection import Selection, split_location
from artimuse.curation.tables import find_tables
from artimuse.errors import BadInput, BadOutput
from artimuse.table.schema import passthrough_name
from tests.curation.score_tables import kept_rows, write_table
from tests.curation.select.choosing import PROMPT, dropped, numbers, select


def test_without_options_every_image_with_a_score_is_kept(scored: Path):
    report = select(scored)
    assert numbers(scored) == list(range(24))
    assert dropped(scored) == {24: "failed"}
    assert report.facts.dropped == {"failed": 1}


def test_where_takes_any_column_and_rows_without_a_value_are_dropped(scored: Path):
    report = select(scored, where="score >= 62 and score_std < 6 -- a comment")
    assert numbers(scored) == [16, 18, 20, 22]
    assert report.facts.dropped == {"failed": 1, "where": 20}
    select(scored, where="error_code <> 'corrupt'")
    assert numbers(scored) == []


def test_where_may_ask_for_the_distribution(tmp_path: Path):
    sure, unsure = [0, 0, 0, 1, 0], [0.25, 0, 0, 0.75, 0]
    write_table(tmp_path / "table", [{"score_probs": sure}, {"score_probs": unsure}, {"score": None}])
    select(tmp_path, where="score_quantile(0.1) >= 75")
    assert numbers(tmp_path) == [0]
    select(tmp_path, where="score_probability(50) < 0.8 and Score_Lower (2) = 30")
    assert numbers(tmp_path) == [1]


def test_kept_rows_are_whole_with_types_and_descriptions_of_the_table(scored: Path):
    select(scored, top=2)
    found = pq.read_table(scored / "selection.parquet")
    [part, *_] = sorted((scored / "table" / "scores").iterdir())
    table = pq.read_schema(part)
    assert found.schema.names == ["table_name", *table.names]
    for field in table:
        assert found.schema.field(field.name).type == field.type
        assert found.schema.field(field.name).metadata == field.metadata
    assert found["uri"].to_pylist() == ["/photos/22.jpg", "/photos/23.jpg"]
    assert found["score_probs"].to_pylist()[0] == pytest.approx([0.2] * 5, abs=1e-3)


def test_top_and_percent_keep_the_best_of_each_value(tmp_path: Path):
    prompts = ["a", "a", "a", "b", None]
    rows = [{"score": float(number), "prompt": prompt} for number, prompt in enumerate(prompts)]
    write_table(tmp_path / "table", rows, passthrough=PROMPT)
    select(tmp_path, top=2, per="prompt")
    assert numbers(tmp_path) == [1, 2, 3, 4]
    select(tmp_path, top_percent=10, per="PROMPT")
    assert numbers(tmp_path) == [2, 3, 4]
    select(tmp_path, top_percent=40)
    assert numbers(tmp_path) == [3, 4]
    assert dropped(tmp_path) == dict.fromkeys([0, 1, 2], "not_at_the_top")


def test_best_of_leaves_out_images_without_a_value(tmp_path: Path):
    rows = [{"score": float(n), "prompt": prompt} for n, prompt in enumerate(["a", "a", "a", "b", None])]
    write_table(tmp_path / "table", rows, passthrough=PROMPT)
    select(tmp_path, best_of="prompt", keep=2)
    assert numbers(tmp_path) == [1, 2, 3]
    assert dropped(tmp_path) == dict.fromkeys([0, 4], "not_among_the_best")


def test_a_quota_names_its_values_and_a_star_all_others(tmp_path: Path):
    rows = [{"score": float(n), "prompt": prompt} for n, prompt in enumerate("aaabbcc")]
    write_table(tmp_path / "table", rows, passthrough=PROMPT)
    select(tmp_path, quota="prompt=a:2,b:9")
    assert numbers(tmp_path) == [1, 2, 3, 4]
    select(tmp_path, quota="prompt=a:0,*:1")
    assert numbers(tmp_path) == [4, 6]
    select(tmp_path, quota="prompt=*:1")
    assert numbers(tmp_path) == [2, 4, 6]


def test_of_duplicates_the_best_stays_and_the_others_name_it(tmp_path: Path):
    rows = [
        {"score": 10.0, "sha256": "x"},
        {"score": 30.0, "sha256": "x"},
        {"score": 30.0, "sha256": "x"},
        {"score": 20.0, "sha256": "y"},
    ]
    write_table(tmp_path / "a", rows)
    write_table(tmp_path / "b", [{"score": 90.0, "sha256": "y"}])
    select(tmp_path, "a", "b", dedupe="exact")
    assert kept_rows(tmp_path / "selection.parquet") == [("a", 1), ("b", 0)]
    named = pq.read_table(tmp_path / "selection.dropped.parquet").to_pylist()
    assert [(row["row_number"], row["duplicate_of_table"], row["duplicate_of"]) for row in named] == [
        (0, "a", "1.jpg"),
        (2, "a", "1.jpg"),
        (3, "b", "0.jpg"),
    ]


def test_near_duplicates_are_connected_by_those_between_them(tmp_path: Path):
    hashes = [0b0, 0b1111, 0b11111111, 2**60 - 1, None, None]
    rows = [{"score": float(n), "phash": hash_} for n, hash_ in enumerate(hashes)]
    write_table(tmp_path / "table", rows)
    select(tmp_path, dedupe="near", near_distance=4)
    assert numbers(tmp_path) == [2, 3, 4, 5]
    select(tmp_path, dedupe="near", near_distance=3)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4, 5]


def test_a_sample_is_even_over_the_bands_and_the_same_for_the_same_seed(tmp_path: Path):
    # 60 images in the lowest band, 3 in the highest, none between.
    write_table(tmp_path / "table", [{"score": 5.0}] * 60 + [{"score": 95.0}] * 2 + [{"score": 100.0}])
    select(tmp_path, sample=20, seed=1)
    first = numbers(tmp_path)
    assert len(first) == 20
    assert first[-3:] == [60, 61, 62]
    select(tmp_path, sample=20, seed=1)
    assert numbers(tmp_path) == first
    select(tmp_path, sample=20, seed=2)
    assert numbers(tmp_path) != first


def test_several_tables_are_told_apart_and_may_have_different_columns(tmp_path: Path):
    write_table(tmp_path / "a", [{"score": 1.0, "prompt": "x"}], passthrough=PROMPT)
    write_table(tmp_path / "b", [{"score": 2.0, "steps": 20}], passthrough=pa.schema([("steps", pa.int64())]))
    report = select(tmp_path, f"old={tmp_path / 'a'}", "b")
    assert kept_rows(tmp_path / "selection.parquet", "table_name", "prompt", "steps") == [
        ("old", "x", None),
        ("b", None, 20),
    ]
    assert report.facts.tables == {"old": str(tmp_path / "a"), "b": str(tmp_path / "b")}
    select(tmp_path, f"old={tmp_path / 'a'}", "b", where="table_name = 'b'")
    assert kept_rows(tmp_path / "selection.parquet") == [("b", 0)]


def test_the_metadata_say_what_was_asked_for_and_what_came_of_it(scored: Path):
    select(scored, where="score > 8", top=3)
    facts = Selection.at(str(scored / "selection.parquet")).facts
    assert facts.settings == {"where": "score > 8", "top": 3}
    assert (facts.num_rows, facts.num_kept) == (25, 3)
    assert facts.dropped == {"failed": 1, "where": 3, "not_at_the_top": 18}
    with pytest.raises(BadInput, match="not a selection; `artimuse select TABLE --to"):
        Selection.at(str(next((scored / "table" / "scores").iterdir())))


NAMES_OF_OURS = (
    *("stays", "reason", "duplicate_of", "duplicate_of_table", "phash_group", "rowid", "margin", "margin_std"),
    *("std_of_margin", "place", "num_images", "prompt", "its_prompt", "rows", "dropped", 'a"b', "it's", "A b"),
)


@pytest.mark.parametrize("name", NAMES_OF_OURS)
def test_a_column_may_have_any_name(tmp_path: Path, name: str):
    rows = [{"score": float(number), name: "ab"[number % 2], "phash": number % 3} for number in range(6)]
    write_table(tmp_path / "table", rows, passthrough=pa.schema([(name, pa.string())]))
    select(tmp_path, best_of=name, dedupe="near", near_distance=0)
    assert numbers(tmp_path) == [4, 5]
    select(tmp_path, top=1, per=name, dedupe="exact")
    assert numbers(tmp_path) == [4, 5]
    assert kept_rows(tmp_path / "selection.parquet", name) == [("a",), ("b",)]
    report = select(tmp_path, pairs=name, where="score > 1")
    assert (report.facts.num_pairs, report.facts.num_kept) == (2, 4)


def test_a_selection_that_was_scored_again_keeps_the_names_of_its_tables(tmp_path: Path):
    stored = passthrough_name("table_name")
    write_table(tmp_path / "table", [{stored: "first"}], passthrough=pa.schema([(stored, pa.string())]))
    select(tmp_path)
    assert kept_rows(tmp_path / "selection.parquet", "table_name", "input_table_name") == [("table", "first")]


def test_columns_that_differ_in_case_are_one_and_types_that_lose_values_are_refused(tmp_path: Path):
    write_table(tmp_path / "a", [{"Prompt": "x"}], passthrough=pa.schema([("Prompt", pa.string())]))
    write_table(tmp_path / "b", [{"prompt": "y"}], passthrough=PROMPT)
    select(tmp_path, "a", "b", best_of="prompt")
    assert kept_rows(tmp_path / "selection.parquet", "Prompt") == [("x",), ("y",)]
    write_table(tmp_path / "c", [{"seed": 1}], passthrough=pa.schema([("seed", pa.int64())]))
    write_table(tmp_path / "d", [{"seed": 2**64 - 1}], passthrough=pa.schema([("seed", pa.uint64())]))
    with pytest.raises(BadInput, match="its column seed is uint64, and int64 in another table"):
        select(tmp_path, "c", "d")


@pytest.mark.parametrize(
    ("percent", "count", "kept"), [(0.07, 100, 1), (29.0, 100, 29), (16.1, 100, 17), (14.0, 50, 7)]
)
def test_a_percentage_is_exact(tmp_path: Path, percent: float, count: int, kept: int):
    write_table(tmp_path / "table", [{"score": 50.0}] * count)
    assert select(tmp_path, top_percent=percent).facts.num_kept == kept


def test_a_quota_of_a_value_that_no_image_has_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_table(tmp_path / "table", [{"prompt": "a"}], passthrough=PROMPT)
    select(tmp_path, quota="prompt=b:1,*:1")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "--quota: no image that comes into question has prompt 'b'"
    ]


def test_a_table_whose_name_has_an_equals_sign_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_table(tmp_path / "steps=30", [{}])
    monkeypatch.chdir(tmp_path)
    assert [table.name for table in find_tables(["steps=30", "other=steps=30"])] == ["steps=30", "other"]
    with pytest.raises(BadOutput, match=r"holds no score table.*\('steps' was taken for the name\)"):
        find_tables(["steps=31"])


@pytest.mark.parametrize(
    ("location", "folder"), [("/x.parquet", "/"), ("a/x.parquet", "a"), ("s3://b/x.parquet", "s3://b")]
)
def test_a_location_is_a_folder_and_a_name(location: str, folder: str):
    expected = folder if "://" in folder else str(Path(folder).absolute())
    found, name = split_location(location)
    assert (found.root, name) == (expected, "x.parquet")


def test_on_an_object_store_it_is_the_same(memory_url: str):
    rows = [{"score": float(number)} for number in range(25)]
    write_table(f"{memory_url}/table", rows)
    to = f"{memory_url}/chosen/best.parquet"
    run(SelectConfig(tables=(f"{memory_url}/table",), to=to, top=2), Console(file=io.StringIO()))
    assert kept_rows(to) == [("table", 23), ("table", 24)]
    assert Selection.at(to).tables["table"].url() == f"{memory_url}/table"
