"""Manifests in every format: what they give, and what is refused with which words."""

import json
import logging
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.sources import open_source

Rows = list[dict[str, Any]]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


def manifest(here: Path, name: str, content: str | bytes | pa.Table) -> str:
    path = here / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def rows(location: str) -> Rows:
    source = open_source(location)
    batches = list(source.batches())
    for batch in batches:
        batch.validate(full=True)
        assert batch.schema.names[:2] == ["image_id", "uri"]
        assert pa.schema(list(batch.schema)[2:]) == source.passthrough
    return [row for batch in batches for row in batch.to_pylist()]


def refusal(location: str) -> str:
    with pytest.raises(BadInput) as caught:
        rows(location)
    message = str(caught.value)
    assert message.startswith(location)
    return message.removeprefix(location)


SAME_IN_EVERY_FORMAT = {
    "m.csv": "uri,image_id,tag\na.jpg,1,x\ns3://b/c.jpg,2,\n",
    "m.jsonl": '{"uri": "a.jpg", "image_id": 1, "tag": "x"}\n{"uri": "s3://b/c.jpg", "image_id": 2, "tag": null}\n',
    "M.NDJSON": '{"tag": "x", "uri": "a.jpg", "image_id": "1"}\n{"uri": "s3://b/c.jpg", "image_id": "2"}',
    "m.parquet": pa.table({"uri": ["a.jpg", "s3://b/c.jpg"], "image_id": [1, 2], "tag": ["x", None]}),
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


REPEATED = "more than one column would be stored as"
SAME_TO_SQL = ", upper and lower case being the same to SQL"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("m.csv", "", ": empty; expected a header line with a column `uri`"),
        ("m.csv", "uri,x\n", ": no rows in this manifest"),
        ("m.csv", "url,x\na,b\n", ": no column `uri` with the path or URL of each image; columns found: url, x"),
        ("m.csv", "uri,x,x\na,b,c\n", f": {REPEATED} x{SAME_TO_SQL}; columns found: uri, x, x"),
        (
            "m.csv",
            "uri,Prompt,prompt\na,b,c\n",
            f": {REPEATED} prompt{SAME_TO_SQL}; columns found: uri, Prompt, prompt",
        ),
        ("m.csv", "uri,x\na,1\nb,2,3\n", ", line 3: 3 columns where the header has 2"),
        ("m.csv", 'uri,x\n"a\n\n",1\nb\n', ", line 5: 1 columns where the header has 2"),
        ("m.csv", 'uri,x\na,1\nb,"2\nc,3\n', ", line 4: unexpected end of data"),
        ("m.csv", b"uri\na\ncaf\xe9.jpg\n", ", line 3: not UTF-8 text (invalid continuation byte at byte 3)"),
        ("m.csv", "uri\na\n".encode("utf-16"), ", line 1: not UTF-8 text (invalid start byte at byte 0)"),
        ("m.csv", "uri,image_id\na,1\n,2\n", ": no uri in row 1 (rows count from 0)"),
        ("m.csv", "uri,image_id\na,\n", ": no image_id in row 0 (rows count from 0)"),
        ("m.jsonl", "", ": no column `uri` with the path or URL of each image; columns found: none"),
        ("m.jsonl", '{"uri": "a"}\n\n{"uri": "b"\n', ", line 3: not JSON (Expecting ',' delimiter)"),
        ("m.jsonl", '[{"uri": "a"}]', ", line 1: expected one JSON object per line"),
        ("m.jsonl", '{"uri": "a"}\n{"uri": null}', ": no uri in row 1 (rows count from 0)"),
        ("m.jsonl", '{"uri": null}', ": no uri in row 0 (rows count from 0)"),
        ("m.jsonl", '{"uri": 5}', ": column `uri` is int64; expected string"),
        ("m.jsonl", '{"uri": "a", "image_id": 1.5}', ": column `image_id` is double; expected string"),
        ("m.parquet", b"", ": cannot be read (ArrowInvalid: Parquet file size is 0 bytes)"),
        ("m.parquet", pa.table({"uri": pa.array([], pa.string())}), ": no rows in this manifest"),
        (
            "m.parquet",
            pa.table({"uri": ["a"], "score": [1], "input_score": [2]}),
            f": {REPEATED} input_score{SAME_TO_SQL}; columns found: uri, score, input_score",
        ),
        (
            "m.parquet",
            pa.table({"uri": ["a"], "Score": [1], "input_score": [2]}),
            f": {REPEATED} input_score{SAME_TO_SQL}; columns found: uri, Score, input_score",
        ),
    ],
)
def test_a_malformed_manifest_is_refused_with_what_and_where(here: Path, name: str, content: Any, complaint: str):
    assert refusal(manifest(here, name, content)) == complaint


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"uri": "b", "x": "text"}', ", lines 1 to 2: column x: Could not convert 'text' with type str"),
        ('{"uri": "b", "x": 99999999999999999999}', ", lines 1 to 2: column x: "),
    ],
)
def test_json_values_that_no_column_can_hold_are_refused(here: Path, line: str, complaint: str):
    assert refusal(manifest(here, "m.jsonl", '{"uri": "a", "x": 1}\n' + line)).startswith(complaint)


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


def test_json_columns_that_parquet_cannot_hold_are_refused(here: Path):
    complaint = refusal(manifest(here, "m.jsonl", '{"uri": "a", "x": {}}'))
    assert complaint.startswith(": Cannot write struct type 'x' with no child field to Parquet")


def test_json_columns_whose_types_never_meet_are_refused(here: Path):
    lines = ['{"uri": "a", "x": 1}'] * 1024 + ['{"uri": "a", "x": "text"}']
    complaint = refusal(manifest(here, "m.jsonl", "\n".join(lines)))
    assert complaint.startswith(", lines 1025 to 1025: Unable to merge: Field x has incompatible types")


def test_a_truncated_parquet_file_is_refused(here: Path):
    location = manifest(here, "m.parquet", pa.table({"uri": ["a.jpg"] * 1000}))
    Path(location).write_bytes(Path(location).read_bytes()[:-20])
    assert "cannot be read (ArrowInvalid: Parquet magic bytes not found" in refusal(location)


@pytest.mark.parametrize("uri", ["https://example.org/a.jpg", "HTTP://example.org/a.jpg"])
def test_http_uris_are_refused_and_the_way_out_is_named(here: Path, uri: str):
    complaint = refusal(manifest(here, "m.csv", f"uri\na.jpg\n{uri}\n"))
    assert complaint.startswith(f": {uri} in row 1 is an http(s) URL, and those are not fetched. Download")


def test_uris_that_nothing_here_can_read_are_refused_before_the_run(here: Path):
    complaint = refusal(manifest(here, "m.csv", "uri\ngs://b/a.jpg\n"))
    assert complaint.startswith(": gs://b/a.jpg in row 0: gs:// URIs cannot be read here (Please install gcsfs")


@pytest.mark.parametrize("scheme", ["webhdfs", "jupyter", "ftp", "sftp", "github", "nowhere", "WebHDFS"])
def test_only_schemes_on_a_short_list_are_read(here: Path, scheme: str):
    """By the others whoever writes a table could reach any server, without --allow-http."""
    complaint = refusal(manifest(here, "m.csv", f"uri\na.jpg\n{scheme}://127.0.0.1:9/a.jpg\n"))
    assert complaint.startswith(f": {scheme}://127.0.0.1:9/a.jpg in row 1: URIs with {scheme.lower()}:// are not read;")


@pytest.mark.parametrize("outer", ["zip://a.jpg", "simplecache", "memory://x", "s3://bucket/x"])
@pytest.mark.parametrize("inner", ["https://example.org/a.zip", "webhdfs://example.org/a"])
def test_a_url_inside_another_is_refused(here: Path, outer: str, inner: str):
    complaint = refusal(manifest(here, "m.csv", f"uri\n{outer}::{inner}\n"))
    assert "has a URL inside another one, which is not fetched" in complaint


def test_a_manifest_that_is_not_there_is_refused(memory_url: str):
    assert refusal(f"{memory_url}/m.csv").startswith(": cannot be read (FileNotFoundError")
