"""The two tables of the system: columns, types, and the meanings that travel with them."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.errors import ERROR_CODES
from artimuse.scoring import STRATEGIES
from artimuse.table.dictionary import data_dictionary
from artimuse.table.schema import SCORE_COLUMNS, fold_case, passthrough_name, score_schema

NOTHING = pa.schema([])
SCORES = score_schema(STRATEGIES["ordered_100"].values_K, NOTHING)
SLUGS = [attribute.slug for attribute in ATTRIBUTES]


def test_the_score_table_has_the_columns_and_types_of_the_contract():
    assert {field.name: str(field.type) for field in SCORES} == {
        "row_number": "int64",
        "image_id": "string",
        "uri": "string",
        "status": "string",
        "error_code": "string",
        "error": "string",
        "score": "float",
        "score_std": "float",
        "score_entropy": "float",
        "score_probs": "list<item: halffloat>",
        **dict.fromkeys(SLUGS, "string"),
        "texts_truncated": "int8",
        "width": "int32",
        "height": "int32",
        "format": "string",
        "bytes": "int64",
        "sha256": "string",
        "phash": "uint64",
        "attempt": "int8",
    }
    assert tuple(SCORES.names) == SCORE_COLUMNS


def test_what_every_row_has_cannot_be_null():
    required = {field.name for field in SCORES if not field.nullable}
    assert required == {"row_number", "image_id", "uri", "status", "attempt"}


@pytest.mark.parametrize("schema", [SCORES, ANNOTATION_SCHEMA], ids=["scores", "annotations"])
def test_every_field_has_a_description(schema: pa.Schema):
    for field in schema:
        assert len(field.metadata[b"description"]) > 5, field.name


def test_units_ranges_and_directions_are_in_the_dictionary():
    columns = {column.name: column for column in data_dictionary(SCORES)}
    assert (columns["score"].range, columns["score"].direction) == ("0..100", "higher is better")
    assert "points" in columns["score_std"].meaning
    assert "nats" in columns["score_entropy"].meaning
    assert columns["error_code"].range.split(", ") == list(ERROR_CODES)
    assert columns["score_probs"].kind == "list<halffloat>"


def test_a_column_without_a_description_is_the_manifests_own():
    [column] = data_dictionary(pa.schema([("prompt", pa.string())]))
    assert (column.kind, column.range, column.meaning) == ("string", "", "carried over from INPUT")


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_score_values_travel_with_the_probabilities(strategy):
    field = score_schema(strategy.values_K, NOTHING).field("score_probs")
    assert json.loads(field.metadata[b"values"]) == strategy.values_K.tolist()


def test_descriptions_and_values_survive_parquet(tmp_path):
    pq.write_table(SCORES.empty_table(), tmp_path / "part.parquet")
    stored = pq.read_schema(tmp_path / "part.parquet")
    assert [field.metadata for field in stored] == [field.metadata for field in SCORES]


def test_the_manifests_own_columns_come_last_and_unchanged():
    passthrough = pa.schema([pa.field("tags", pa.list_(pa.string()), metadata={"k": "v"}), pa.field("n", pa.int8())])
    schema = score_schema(np.array([0, 100], np.float32), passthrough)
    assert schema.names == [*SCORE_COLUMNS, "tags", "n"]
    assert schema.field("tags").equals(passthrough.field("tags"), check_metadata=True)


def test_names_are_those_that_sql_takes_without_quotes():
    for name in {*SCORE_COLUMNS, *ANNOTATION_SCHEMA.names}:
        assert name.isidentifier()
        assert name == fold_case(name)


def test_a_column_of_the_manifest_is_renamed_if_its_name_is_ours_in_any_case():
    names = {"score": "input_score", "Score": "input_Score", "SHA256": "input_SHA256", "URI": "input_URI"}
    names |= {"prompt": "prompt", "Prompt": "Prompt", "scores": "scores", "input_score": "input_score"}
    assert {name: passthrough_name(name) for name in names} == names


@pytest.mark.parametrize(("first", "second"), [("Prompt", "prompt"), ("É", "é"), ("ß", "SS"), ("\u212a", "k")])
def test_names_fold_exactly_as_duckdb_folds_them(tmp_path, first, second):
    pq.write_table(pa.table([[1], [2]], names=[first, second]), tmp_path / "t.parquet")
    found = duckdb.sql(f"FROM '{tmp_path}/t.parquet'").columns
    assert (found != [first, second]) == (fold_case(first) == fold_case(second))


def test_the_annotation_table_has_the_columns_and_types_of_the_contract():
    assert {field.name: str(field.type) for field in ANNOTATION_SCHEMA} == {
        "image_id": "string",
        "uri": "string",
        "dataset": "string",
        "split": "string",
        "kind": "string",
        "score": "float",
        "evidence": "string",
        "question": "string",
        "answer": "string",
        **dict.fromkeys(SLUGS, "string"),
        "analyst": "string",
    }
    required = {field.name for field in ANNOTATION_SCHEMA if not field.nullable}
    assert required == {"image_id", "uri", "dataset", "split", "kind"}
