"""Score-table rows to parts and receipts."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.pipelines.rows import Receipt, RowScorer, RowWriter
from artimuse.table.parts import PARTS
from artimuse.table.schema import SCORE_COLUMNS
from tests.pictures import good_folder, mixed_folder
from tests.pipelines.rows.stages import decoded, scored, table

NESTED = {
    "uri": ["0000.png", "0001.png", "0002.png"],
    "boxes": [[{"x": 1, "label": "cat"}], [], None],
    "camera": [{"maker": "Leica", "lens": {"mm": 50}}, None, {"maker": None, "lens": None}],
    "tags": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "taken": pa.array([0, None, 1], pa.timestamp("ms", tz="UTC")),
    "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    "embedding": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "blob": [b"\x00", None, b""],
    "price": pa.array([1, None, 2]).cast(pa.decimal128(30, 2)),
}


def test_passthrough_columns_of_nested_types_survive(make_job, tmp_path):
    good_folder(tmp_path / "in", 3)
    pq.write_table(pa.table(NESTED), tmp_path / "in" / "list.parquet")
    job = make_job(tmp_path / "in" / "list.parquet")
    RowWriter(job)(scored(job).take([2, 0, 1]))
    given = pq.read_table(tmp_path / "in" / "list.parquet").to_pylist()
    assert [{name: row[name] for name in NESTED if name != "uri"} for row in table(job)] == [
        {name: row[name] for name in NESTED if name != "uri"} for row in given
    ]


def test_passthrough_columns_may_have_any_name(make_job, tmp_path):
    good_folder(tmp_path / "in", 2)
    names = ["pixels", "worker", "began_at", "fetch_s", "decode_s", "score_s", "shard", "offsets", "part", "Score"]
    rows = [{"uri": f"000{number}.png", **dict.fromkeys(names, f"mine {number}")} for number in range(2)]
    (tmp_path / "in" / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = make_job(tmp_path / "in" / "list.jsonl")
    [receipt] = RowWriter(job)(scored(job))
    assert receipt.workers == {"worker-1": 2}
    for number, row in enumerate(table(job)):
        assert {row[name] for name in [*names[:-1], "input_Score"]} == {f"mine {number}"}


def test_columns_that_are_not_in_the_schema_are_not_written(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 2))
    rows = scored(job)
    RowWriter(job)(rows.append_column("scratch", pa.array([1, 2])))
    assert tuple(table(job)[0]) == SCORE_COLUMNS


def test_receipts_add_up(make_job, tmp_path):
    expected = mixed_folder(tmp_path / "in")
    good_folder(tmp_path / "in", 20)
    before = time.time()
    job = make_job(tmp_path / "in")
    rows = scored(job)
    [receipt] = RowWriter(job)(rows)
    assert receipt.num_rows == len(rows) == len(expected) + 20
    assert receipt.num_failed == sum(code is not None for code in expected.values())
    assert receipt.workers == {"worker-1": len(rows)}
    assert before <= receipt.began_at <= time.time()
    spent = [getattr(receipt, f"{stage}_s") for stage in ("fetch", "decode", "score", "write")]
    assert min(spent) > 0
    assert sum(spent) < time.time() - before
    assert job.output.names(PARTS) == [receipt.part]


def test_a_receipt_survives_the_table_that_is_sent_through_ray(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 3))
    receipts = RowWriter(job)(scored(job))
    table = pa.Table.from_pylist([receipt.as_row() for receipt in receipts])
    assert [Receipt.of(row) for row in table.to_pylist()] == receipts


def test_workers_are_counted_by_the_rows_they_scored(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 5))
    first, second = decoded(job, chunk=3)
    rows = pa.concat_tables([RowScorer(job, "a")(first), RowScorer(job, "b")(second)])
    [receipt] = RowWriter(job)(rows)
    assert receipt.workers == {"a": 3, "b": 2}


def test_rows_of_two_shards_become_two_parts(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 12), rows_per_shard=8)
    receipts = RowWriter(job)(scored(job))
    assert [receipt.num_rows for receipt in receipts] == [8, 4]
    assert job.output.names(PARTS) == [receipt.part for receipt in receipts]
    assert [name.split("-")[0] for name in job.output.names(PARTS)] == ["000000", "000001"]
    assert [row["row_number"] for row in table(job)] == list(range(12))


def test_the_order_in_which_rows_arrive_does_not_matter(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 6))
    rows = scored(job)
    first = RowWriter(job)(rows)
    second = RowWriter(job)(rows.take([5, 3, 1, 0, 2, 4]))
    assert first[0].part == second[0].part
    assert [row["row_number"] for row in table(job)] == list(range(6))
