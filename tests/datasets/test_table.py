"""The project's own annotation table: what it gives, and what is refused with which words."""

import logging
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.datasets.table import TableReader
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation
from artimuse.io.folder import Folder
from tests.datasets.annotations import Row, annotation, delimited, json_lines, parquet


def read(root: str, split: str = "train") -> list[Annotation]:
    return list(TableReader().read(root, split))


def refusal(root: str, split: str = "train") -> str:
    with pytest.raises(BadInput) as caught:
        read(root, split)
    return str(caught.value)


WRITERS = {"parquet": parquet, "jsonl": json_lines, "csv": delimited, "tsv": delimited}


@pytest.fixture(params=WRITERS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Writes rows in each format and returns the path."""
    return lambda rows: WRITERS[request.param](tmp_path / f"labels.{request.param}", rows)


@pytest.fixture(params=["parquet", "jsonl"])
def typed_table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Of formats whose columns have types."""
    return lambda rows: WRITERS[request.param](tmp_path / f"labels.{request.param}", rows)


def test_all_formats_give_the_same_annotations(table: Any, tmp_path: Path):
    texts = {attribute.slug: f"About {attribute.name}." for attribute in ATTRIBUTES}
    rows = [
        annotation("a", evidence="soft light", question="What is it?", answer=" A dog.", analyst="human", **texts),
        annotation("b", score=None, kind="partial_text", uri="s3://bucket/b.jpg"),
        annotation("c", score=20, kind="expert", split="test"),
    ]
    assert read(table(rows)) == [
        Annotation(
            image_id="a",
            uri=f"{tmp_path}/images/a.jpg",
            dataset="mine",
            split="train",
            kind="score",
            score=73.4,
            evidence="soft light",
            question="What is it?",
            answer=" A dog.",
            texts=texts,
            analyst="human",
        ),
        Annotation("b", "s3://bucket/b.jpg", "mine", "train", "partial_text"),
    ]
    assert [found.image_id for found in read(table(rows), "test")] == ["c"]


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path):
    for name in ("b", "a", "c"):
        parquet(tmp_path / "labels" / f"{name}.parquet", [annotation(f"{name}{number}") for number in range(2)])
    (tmp_path / "labels" / "README.md").write_text("not a table")
    found = read(str(tmp_path / "labels"))
    assert [one.image_id for one in found] == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert found[0].uri == f"{tmp_path}/labels/images/a0.jpg"


def test_a_split_may_be_in_some_files_of_a_folder_only(tmp_path: Path):
    parquet(tmp_path / "labels" / "a.parquet", [annotation("a", split="test")])
    parquet(tmp_path / "labels" / "b.parquet", [annotation("b")])
    assert [one.image_id for one in read(str(tmp_path / "labels"))] == ["b"]


def test_a_relative_root_means_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parquet(tmp_path / "labels.parquet", [annotation("a")])
    monkeypatch.chdir(tmp_path)
    assert read("labels.parquet")[0].uri == f"{tmp_path}/images/a.jpg"


@pytest.mark.parametrize("name", ["labels", "labels/part.parquet"])
def test_a_table_may_be_on_a_url_and_its_uris_relative_to_it(tmp_path: Path, memory_url: str, name: str):
    local = parquet(tmp_path / "part.parquet", [annotation("a")])
    Folder.at(memory_url).write("labels/part.parquet", Path(local).read_bytes())
    assert read(f"{memory_url}/{name}")[0].uri == f"{memory_url}/labels/images/a.jpg"


def test_a_table_with_the_whole_schema_is_read(tmp_path: Path):
    row = dict.fromkeys(ANNOTATION_SCHEMA.names) | annotation("a", score=50.0)
    pq.write_table(pa.Table.from_pylist([row], schema=ANNOTATION_SCHEMA), tmp_path / "labels.parquet")
    assert read(str(tmp_path / "labels.parquet"))[0].score == 50


def test_text_columns_may_be_dictionaries_and_ids_numbers(tmp_path: Path):
    table = pa.Table.from_pylist([annotation("a")])
    for name in ("dataset", "split", "kind"):
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    table = table.set_column(0, "image_id", pa.array([7]))
    pq.write_table(table, tmp_path / "labels.parquet")
    [found] = read(str(tmp_path / "labels.parquet"))
    assert (found.image_id, found.kind) == ("7", "score")


def test_many_rows_come_in_file_order_and_errors_name_the_row_of_the_file(tmp_path: Path):
    rows = [annotation(str(number), split="test" if number % 3 else "train") for number in range(20_000)]
    location = parquet(tmp_path / "labels.parquet", rows)
    assert [int(found.image_id) for found in read(location, "test")] == [n for n in range(20_000) if n % 3]
    rows[19_999]["score"] = -1
    parquet(tmp_path / "labels.parquet", rows)
    assert "row 19999 (rows count from 0): score -1" in refusal(location, "train" if 19_999 % 3 == 0 else "test")


def test_the_first_rows_come_before_the_last_ones_are_looked_at(tmp_path: Path):
    rows = [annotation(str(number)) for number in range(20_000)]
    rows[-1]["kind"] = "rumour"
    stream = TableReader().read(parquet(tmp_path / "labels.parquet", rows), "train")
    assert next(stream).image_id == "0"
    with pytest.raises(BadInput, match="row 19999 "):
        list(stream)


def test_mistakes_in_other_splits_do_not_matter(table: Any):
    assert len(read(table([annotation("a"), annotation("b", split="test", score=1000)]))) == 1


def test_columns_that_are_not_in_the_schema_are_left_out_and_said_so(table: Any, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        read(table([annotation("a", composition="balanced", likes=3)]))
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("annotation_columns_left_out")
    assert message.endswith("columns=composition,likes")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "rating"}, "kind 'rating'; expected one of score, partial_text, expert"),
        ({"score": 100.5}, "score 100.5; expected 0 to 100"),
        ({"score": -0.001}, "score -0.001; expected 0 to 100"),
        ({"score": math.nan}, "score nan; expected 0 to 100"),
        ({"score": math.inf, "kind": "expert"}, "score inf; expected 0 to 100"),
        ({"score": None}, "of kind score, but without a score"),
        ({"question": "What is it?"}, "question 'What is it?' with answer None; expected both or neither"),
        ({"answer": "A dog.", "question": ""}, "with answer 'A dog.'; expected both or neither"),
        ({"image_id": ""}, "no image_id"),
        ({"uri": None}, "no uri"),
        ({"dataset": None}, "no dataset"),
        ({"kind": None}, "no kind"),
        ({"split": None}, "no split"),
        ({"uri": "https://example.org/b.jpg"}, "row 2 (rows count from 0) is an http(s) URL"),
    ],
)
def test_a_wrong_row_is_refused_with_file_and_row(table: Any, fields: Row, complaint: str):
    location = table([annotation("t", split="test"), annotation("a"), {**annotation("b"), **fields}])
    message = refusal(location)
    assert message.startswith(location)
    assert complaint in message
    assert "row 2" in message


@pytest.mark.parametrize("column", ["image_id", "uri", "dataset", "split", "kind"])
def test_a_missing_column_is_named_with_the_ones_found(table: Any, column: str):
    row = annotation("a")
    del row[column]
    location = table([row])
    assert refusal(location) == f"{location}: no column {column}; columns found: {', '.join(row)}"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"score": "high"}, "column score is string; expected double"),
        ({"uri": 5}, "column uri is int64; expected string"),
        ({"overall_gestalt": ["a", "b"]}, "column overall_gestalt is list<"),
    ],
)
def test_a_column_of_another_type_is_refused(typed_table: Any, fields: Row, complaint: str):
    assert complaint in refusal(typed_table([annotation("a", **fields)]))


@pytest.mark.parametrize("score", ["high", "73,4", "7.3/10"])
def test_a_score_in_text_that_is_no_number_is_refused_with_its_row(tmp_path: Path, score: str):
    location = delimited(tmp_path / "labels.csv", [annotation("a"), annotation("b", score=score)])
    assert refusal(location) == (
        f"{location}, row 1 (rows count from 0): score {score!r}; expected a number such as 73.4"
    )


def test_text_with_other_separators_is_refused_saying_so(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("image_id;uri;dataset;split;kind;score\na;a.jpg;mine;train;score;50\n")
    assert "Its cells stand between `;`: write it with commas" in refusal(str(tmp_path / "labels.csv"))


def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path: Path):
    location = delimited(tmp_path / "labels.csv", [annotation("a"), annotation("b")])
    Path(location).write_text(Path(location).read_text() + '"c,images/c.jpg,mine,train,score,50\n')
    assert refusal(location).startswith(f"{location}, line 4: ")


def test_a_column_that_comes_twice_is_refused(tmp_path: Path):
    table = pa.Table.from_pylist([annotation("a")])
    pq.write_table(table.append_column("score", table["score"]), tmp_path / "labels.parquet")
    assert "more than one column would be stored as score" in refusal(str(tmp_path / "labels.parquet"))


def test_a_split_that_is_not_there_is_refused_with_those_that_are(table: Any):
    location = table([annotation("a", split="train"), annotation("b", split="test")])
    assert refusal(location, "validation") == f"{location}: no row of split 'validation'; splits found: test, train"


def test_an_empty_table_is_refused(tmp_path: Path):
    pq.write_table(ANNOTATION_SCHEMA.empty_table(), tmp_path / "labels.parquet")
    assert "the table is empty" in refusal(str(tmp_path / "labels.parquet"))


def test_a_line_that_is_not_json_is_refused_with_its_number(tmp_path: Path):
    (tmp_path / "labels.jsonl").write_text('{"image_id": "a"}\n\n{"image_id": "b"\n')
    assert "labels.jsonl, line 3: not JSON" in refusal(str(tmp_path / "labels.jsonl"))


def test_a_torn_parquet_file_is_refused_by_name(tmp_path: Path):
    location = parquet(tmp_path / "labels" / "b.parquet", [annotation(str(number)) for number in range(1000)])
    parquet(tmp_path / "labels" / "a.parquet", [annotation("a")])
    Path(location).write_bytes(Path(location).read_bytes()[:-20])
    assert refusal(str(tmp_path / "labels")).startswith(f"{location}: cannot be read")


@pytest.mark.parametrize("name", ["empty-folder", "labels.txt", "nowhere"])
def test_what_is_no_annotation_table_is_refused_saying_what_is(tmp_path: Path, name: str):
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "labels.txt").write_text("image_id,uri\n")
    message = refusal(str(tmp_path / name))
    assert name in message
    assert "expected a Parquet file, a folder of them, or a .jsonl, .csv or .tsv file" in message
