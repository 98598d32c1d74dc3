"""Manifests that are refused, and with which words."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.sources.manifests import manifest, refusal

REPEATED = "more than one column would be stored as"
NO_URI = ": no column `uri` with the path or URL of each image; columns found:"
REWRITE = "write it with commas, or name it .tsv if these are tabs"
SAME_TO_SQL = ", upper and lower case being the same to SQL"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("m.csv", "", ": empty; expected a header line with a column `uri`"),
        ("m.csv", "uri,x\n", ": no rows in this manifest"),
        ("m.csv", "link,x\na,b\n", f"{NO_URI} link, x"),
        ("m.csv", "URI,x\na,b\n", f"{NO_URI} URI, x. --uri-column URI takes that one"),
        ("m.csv", "x,file_name\na,b\n", f"{NO_URI} x, file_name. --uri-column file_name takes that one"),
        ("m.csv", "uri;x\na;b\n", f"{NO_URI} uri;x. Its cells stand between `;`: {REWRITE}"),
        ("m.csv", "uri\tx\na\tb\n", f"{NO_URI} uri\tx. Its cells stand between tabs: {REWRITE}"),
        ("m.json", '[{"uri": "a"}, 3]', ": item 1 (they count from 0) is no object"),
        ("m.json", b'[{"uri": "caf\xe9.jpg"}]', ": not UTF-8 text (invalid continuation byte at byte 13)"),
        ("m.json", '[{"uri": "a"}', ": not JSON (Expecting ',' delimiter: line 1 column 14 (char 13))"),
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
        ("m.parquet", b"", ": cannot be read (Parquet file size is 0 bytes)"),
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
        ('{"uri": "b", "x": "text"}', ', line 2: column x cannot hold "text" beside'),
        ('{"uri": "b", "x": 99999999999999999999}', ", line 2: column x cannot hold 99999999999999999999 beside"),
    ],
)
def test_json_values_that_no_column_can_hold_are_refused(here: Path, line: str, complaint: str):
    assert refusal(manifest(here, "m.jsonl", '{"uri": "a", "x": 1}\n' + line)).startswith(complaint)


def test_a_value_that_does_not_fit_names_its_line_among_many(here: Path):
    lines = ['{"uri": "a", "x": 1}'] * 700 + ['{"uri": "a", "x": "%s"}' % ("long" * 40)] + ['{"uri": "a"}'] * 100
    complaint = refusal(manifest(here, "m.jsonl", "\n".join(lines)))
    assert complaint == f', line 701: column x cannot hold "{("long" * 40)[:39]}... beside the values before it'


def test_json_columns_that_parquet_cannot_hold_are_refused(here: Path):
    complaint = refusal(manifest(here, "m.jsonl", '{"uri": "a", "x": {}}'))
    assert complaint.startswith(": Cannot write struct type 'x' with no child field to Parquet")


def test_json_columns_whose_types_never_meet_are_refused(here: Path):
    lines = ['{"uri": "a", "x": 1}'] * 1024 + ['{"uri": "a", "x": "text"}']
    complaint = refusal(manifest(here, "m.jsonl", "\n".join(lines)))
    assert complaint.startswith(", line 1025: column x is string here and int64 before")


def test_a_truncated_parquet_file_is_refused(here: Path):
    location = manifest(here, "m.parquet", pa.table({"uri": ["a.jpg"] * 1000}))
    Path(location).write_bytes(Path(location).read_bytes()[:-20])
    assert "cannot be read (Parquet magic bytes not found" in refusal(location)


@pytest.mark.parametrize("uri", ["https://example.org/a.jpg", "HTTP://example.org/a.jpg"])
def test_http_uris_are_refused_and_the_way_out_is_named(here: Path, uri: str):
    complaint = refusal(manifest(here, "m.csv", f"uri\na.jpg\n{uri}\n"))
    assert complaint.startswith(
        f": {uri} in row 1 (rows count from 0) is an http(s) URL, and those are not fetched. Download"
    )


def test_uris_that_nothing_here_can_read_are_refused_before_the_run(here: Path):
    complaint = refusal(manifest(here, "m.csv", "uri\ngs://b/a.jpg\n"))
    assert complaint.startswith(
        ": gs://b/a.jpg in row 0 (rows count from 0): gs:// URIs cannot be read here (Please install gcsfs"
    )


@pytest.mark.parametrize("scheme", ["webhdfs", "jupyter", "ftp", "sftp", "github", "nowhere", "WebHDFS"])
def test_only_schemes_on_a_short_list_are_read(here: Path, scheme: str):
    """By the others whoever writes a table could reach any server, without --allow-http."""
    complaint = refusal(manifest(here, "m.csv", f"uri\na.jpg\n{scheme}://127.0.0.1:9/a.jpg\n"))
    assert complaint.startswith(
        f": {scheme}://127.0.0.1:9/a.jpg in row 1 (rows count from 0): URIs with {scheme.lower()}:// are not read;"
    )


@pytest.mark.parametrize("outer", ["zip://a.jpg", "simplecache", "memory://x", "s3://bucket/x"])
@pytest.mark.parametrize("inner", ["https://example.org/a.zip", "webhdfs://example.org/a"])
def test_a_url_inside_another_is_refused(here: Path, outer: str, inner: str):
    complaint = refusal(manifest(here, "m.csv", f"uri\n{outer}::{inner}\n"))
    assert "has a URL inside another one, which is not fetched" in complaint


def test_a_manifest_that_is_not_there_is_refused(memory_url: str):
    assert refusal(f"{memory_url}/m.csv").startswith(": cannot be read (FileNotFoundError")
