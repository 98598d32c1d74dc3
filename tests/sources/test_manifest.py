"""Manifests in every format: what they give."""

import json
import logging
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.sources import open_source
from tests.sources.manifests import manifest, rows

SAME_IN_EVERY_FORMAT = {
    "m.csv": "uri,image_id,tag\na.jpg,1,x\ns3://b/c.jpg,2,\n",
    "m.jsonl": '{"uri": "a.jpg", "image_id": 1, "tag": "x"}\n{"uri": "s3://b/c.jpg", "image_id": 2, "tag": null}\n',
    "M.NDJSON": '{"tag": "x", "uri": "a.jpg", "image_id": "1"}\n{"uri": "s3://b/c.jpg", "image_id": "2"}',
    "m.parquet": pa.table({"uri": ["a.jpg", "s3://b/c.jpg"], "image_id": [1, 2], "tag": ["x", None]}),
    "m.tsv": "uri\timage_id\ttag\na.jpg\t1\tx\ns3://b/c.jpg\t2\t\n",
    "m.json": '\n [{"uri": "a.jpg", "image_id": 1, "tag": "x"},\n {"uri": "s3://b/c.jpg", "image_id": 2}]',
    "lines.json": '{"uri": "a.jpg", "image_id": 1, "tag": "x"}\n{"uri": "s3://b/c.jpg", "image_id": 2}\n',
}


@pytest.mark.parametrize("name", SAME_IN_EVERY_FORMAT)
def test_every_format_gives_the_same_rows(here: Path, name: str):
    assert rows(manifest(here, name, SAME_IN_EVERY_FORMAT[name])) == [
        {"image_id": "1", "uri": f"{here}/a.jpg", "tag": "x"},
        {"image_id": "2", "uri": "s3://b/c.jpg", "tag": None},
    ]


@pytest.mark.parametrize("name", SAME_IN_EVERY_FORMAT)
def test_a_manifest_may_be_on_a_url_and_its_uris_relative_to_it(memory_url: str, here: Path, name: str):
    local = manifest(here, name, SAME_IN_EVERY_FORMAT[name])
    Folder.at(memory_url).write(f"sets/{name}", Path(local).read_bytes())
    found = rows(f"{memory_url}/sets/{name}")
    assert found[0]["uri"] == f"{memory_url}/sets/a.jpg"
    assert fsspec.core.url_to_fs(found[0]["uri"])[1].endswith("/sets/a.jpg")


@pytest.mark.parametrize("name", SAME_IN_EVERY_FORMAT)
def test_reading_twice_gives_the_same_rows(here: Path, name: str):
    source = open_source(manifest(here, name, SAME_IN_EVERY_FORMAT[name]))
    assert list(source.batches()) == list(source.batches())


def test_without_ids_the_uri_as_written_is_the_id(here: Path):
    assert rows(manifest(here, "m.csv", "uri\n🦊 é.jpg\n../up.jpg\n/data/c.jpg\n")) == [
        {"image_id": "🦊 é.jpg", "uri": f"{here}/🦊 é.jpg"},
        {"image_id": "../up.jpg", "uri": f"{here}/../up.jpg"},
        {"image_id": "/data/c.jpg", "uri": "/data/c.jpg"},
    ]


def test_dots_in_a_uri_beside_a_remote_manifest_are_resolved(memory_url: str):
    Folder.at(memory_url).write("sets/m.csv", b"uri\n../images/./a.jpg\nplain.jpg\n")
    assert [row["uri"] for row in rows(f"{memory_url}/sets/m.csv")] == [
        f"{memory_url}/images/a.jpg",
        f"{memory_url}/sets/plain.jpg",
    ]


def test_ids_are_text_exactly_as_written(here: Path):
    location = manifest(here, "m.csv", "image_id,uri\n007,a\n2024-01-01,b\n1e3,c\nTrue,d\nA,e\na,f\n  ,g\nNULL,h\n")
    assert [row["image_id"] for row in rows(location)] == ["007", "2024-01-01", "1e3", "True", "A", "a", "  ", "NULL"]


def test_csv_from_a_spreadsheet_is_read(here: Path):
    content = b'\xef\xbb\xbfuri,caption\r\n"a, b.jpg","two\r\nlines and ""quotes"""\r\n\r\nc.jpg,\r\n'
    assert rows(manifest(here, "m.csv", content)) == [
        {"image_id": "a, b.jpg", "uri": f"{here}/a, b.jpg", "caption": 'two\r\nlines and "quotes"'},
        {"image_id": "c.jpg", "uri": f"{here}/c.jpg", "caption": None},
    ]


def test_json_columns_have_the_type_that_holds_the_whole_file(here: Path):
    lines = [json.dumps({"uri": f"{number}.jpg", "likes": number}) for number in range(3000)]
    lines += ['{"uri": "x.jpg", "likes": 0.5, "tags": ["a"], "size": {"w": 1}}']
    location = manifest(here, "m.jsonl", "\ufeff" + "\n\n".join(lines))
    passthrough = open_source(location).passthrough
    assert passthrough.field("likes").type == pa.float64()
    assert passthrough.field("tags").type == pa.list_(pa.string())
    found = rows(location)
    assert len(found) == 3001
    assert found[7] == {"image_id": "7.jpg", "uri": f"{here}/7.jpg", "likes": 7.0, "tags": None, "size": None}
    assert found[-1]["size"] == {"w": 1}


def test_nested_parquet_columns_pass_through_unchanged(here: Path):
    table = pa.table(
        {
            "uri": pa.array(["a.jpg", "b.jpg"]).dictionary_encode(),
            "boxes": [[{"x": 1, "label": "cat"}], None],
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "taken": pa.array([0, 1], pa.timestamp("ms", tz="UTC")),
        }
    )
    location = manifest(here, "m.parquet", table)
    assert open_source(location).passthrough.types == table.schema.types[1:]
    assert [row["boxes"] for row in rows(location)] == [[{"x": 1, "label": "cat"}], None]


def test_a_column_with_one_of_our_names_is_renamed_and_said_so_once(here: Path, caplog: pytest.LogCaptureFixture):
    location = manifest(here, "m.parquet", pa.table({"score": [0.5], "uri": ["a.jpg"], "status": ["new"]}))
    with caplog.at_level(logging.WARNING):
        assert rows(location) == [
            {"image_id": "a.jpg", "uri": f"{here}/a.jpg", "input_score": 0.5, "input_status": "new"}
        ]
    assert [record.getMessage() for record in caplog.records] == [
        "manifest_columns_renamed score=input_score status=input_status"
    ]


def test_our_names_in_other_case_are_renamed_too(here: Path):
    location = manifest(here, "m.csv", "uri,URI,Score,WIDTH,Scores\na.jpg,b,1,2,3\n")
    assert open_source(location).passthrough.names == ["input_URI", "input_Score", "input_WIDTH", "Scores"]


def test_many_parquet_rows_come_in_several_batches(here: Path):
    table = pa.table({"uri": [f"{number}.jpg" for number in range(20_000)]})
    batches = list(open_source(manifest(here, "m.parquet", table)).batches())
    assert max(batch.num_rows for batch in batches) <= 8192
    assert sum(batch.num_rows for batch in batches) == 20_000


def test_a_plain_list_of_paths_is_read(here: Path):
    found = rows(manifest(here, "m.txt", "a b.jpg\r\n\n/abs/c,d.jpg\ns3://b/e.jpg"))
    assert [row["image_id"] for row in found] == ["a b.jpg", "/abs/c,d.jpg", "s3://b/e.jpg"]
    assert found[0]["uri"] == f"{here}/a b.jpg"


def test_a_column_of_another_name_may_have_the_uris(here: Path):
    location = manifest(here, "m.csv", "file_name,uri\na.jpg,x\n")
    source = open_source(location, uri_column="file_name")
    [row] = [row for batch in source.batches() for row in batch.to_pylist()]
    assert row == {"image_id": "a.jpg", "uri": f"{here}/a.jpg", "input_uri": "x"}
    for no_manifest in (str(here), f"{here}/*.csv"):
        with pytest.raises(BadInput, match="not one manifest"):
            open_source(no_manifest, uri_column="file_name")


def test_a_home_directory_is_known(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/someone")
    found = [row["uri"] for row in rows(manifest(here, "m.csv", "uri\n~/a.jpg\n~root/a.jpg\n~a.jpg\n"))]
    assert found == ["/home/someone/a.jpg", f"{here}/~root/a.jpg", f"{here}/~a.jpg"]


def test_halves_of_surrogate_pairs_are_kept_as_they_are_written(here: Path):
    lines = [
        '{"uri": "a", "caption": ["cut \\uD83d"], "extra": {"x": "\\ude00"}}',
        '{"uri": "b", "caption": ["\\ud83d\\ude00"]}',
    ]
    location = manifest(here, "m.jsonl", "\n".join(lines))
    first, second = rows(location)
    assert (first["caption"], first["extra"]) == (["cut \\ud83d"], {"x": "\\ude00"})
    assert second["caption"] == ["😀"]


def test_seeds_of_64_bits_are_kept(here: Path):
    seeds = [7, None, *[1] * 1024, 2**64 - 1]
    lines = [json.dumps({"uri": str(number), "seed": seed}) for number, seed in enumerate(seeds)]
    location = manifest(here, "m.jsonl", "\n".join(lines))
    assert [row["seed"] for row in rows(location)] == seeds
    assert open_source(location).passthrough.field("seed").type == pa.uint64()


def test_a_cell_of_csv_may_be_as_long_as_a_workflow(here: Path):
    cell = "x" * 140_000
    assert rows(manifest(here, "m.csv", f"uri,workflow\na,{cell}\n"))[0]["workflow"] == cell
