"""`--attributes-where`: what is a condition, and which rows it selects."""

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadInput
from artimuse.table.condition import Condition
from artimuse.table.schema import score_schema

SCHEMA = score_schema(
    np.linspace(0, 100, 101, dtype=np.float32), pa.schema([("caption", pa.string()), ("Likes", pa.int64())])
)
ROWS = [
    {"row_number": 3, "status": "ok", "score": 59.9, "caption": "a cat", "Likes": 1},
    {"row_number": 5, "status": "ok", "score": 60.0, "caption": "a 'dog'", "Likes": None},
    {"row_number": 8, "status": "failed", "score": None, "caption": None, "Likes": 7},
    {"row_number": 9, "status": "ok", "score": 88.0, "caption": "a cat", "Likes": 2},
]


@pytest.fixture
def table() -> pa.Table:
    empty = {"image_id": "", "uri": "", "attempt": 1, "score_probs": [0.5, 0.5]}
    return pa.Table.from_pylist([dict.fromkeys(SCHEMA.names) | empty | row for row in ROWS], schema=SCHEMA)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("score >= 60", [5, 9]),
        ("true", [3, 5, 8, 9]),
        ("false", []),
        ("score < 80 AND caption LIKE '%cat'", [3]),
        ("caption = 'a ''dog'''", [5]),
        ('"Likes" > 1 -- the liked ones', [8, 9]),
        ("likes IS NULL", [5]),
        ("status = 'ok' OR score IS NULL", [3, 5, 8, 9]),
        ("score BETWEEN 59 AND 61", [3, 5]),
    ],
)
def test_a_condition_selects_rows(table, sql, rows, tmp_path):
    condition = Condition(sql, SCHEMA)
    assert condition.select(table).tolist() == rows
    assert condition.select(table).tolist() == rows, "a second time"
    pq.write_table(table, tmp_path / "part.parquet")
    parts = ds.dataset([str(tmp_path / "part.parquet")], schema=condition.schema, format="parquet")
    assert sorted(condition.select(parts).tolist()) == rows


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("scored > 3", 'Referenced column "scored" not found'),
        ("score >", "syntax error"),
        ("score > 1; DROP TABLE rows", "expected one condition"),
        ("max(score) > 3", "cannot contain aggregates"),
        ("row_number() OVER () > 3", "cannot contain window functions"),
        ("score > (SELECT avg(score) FROM rows)", "has no SELECT in it"),
        ("EXISTS (SELECT 1)", "has no SELECT in it"),
        ("score_probs[1] > 0.5", 'Referenced column "score_probs" not found'),
        ("caption > 3", "Cannot compare values of type VARCHAR and type INTEGER"),
        ("row_number IN (SELECT * FROM read_text('/etc/hostname'))", "has no SELECT in it"),
    ],
)
def test_what_is_no_condition_on_a_row_is_refused_quoting_it(table, sql, complaint):
    with pytest.raises(BadInput) as caught:
        Condition(sql, SCHEMA).select(table)
    assert str(caught.value).startswith(f"--attributes-where {sql!r}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kind",
    [
        pa.float16(),
        pa.list_(pa.float16(), 4),
        pa.struct([("clip", pa.list_(pa.float16()))]),
        pa.list_view(pa.float32()),
        pa.run_end_encoded(pa.int32(), pa.string()),
        pa.decimal256(60, 2),
    ],
)
def test_columns_that_duckdb_cannot_read_do_not_matter(kind):
    schema = SCHEMA.append(pa.field("embedding", kind))
    condition = Condition("score > 3", schema)
    assert condition.select(schema.empty_table()).tolist() == []
    assert {"score", "caption"} <= set(condition.schema.names)


def test_the_columns_are_named_when_one_is_unknown():
    with pytest.raises(BadInput, match=r"the columns are row_number, image_id, .*, caption, Likes"):
        Condition("scored > 3", SCHEMA)


def test_a_condition_that_fails_on_a_value_is_refused_quoting_it(table):
    condition = Condition("CAST(caption AS INTEGER) > 3", SCHEMA)
    with pytest.raises(
        BadInput, match=r"^--attributes-where 'CAST.*': Conversion Error: Could not convert string 'a cat'"
    ):
        condition.select(table)
