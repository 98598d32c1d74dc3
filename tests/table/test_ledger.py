"""The ledger: what the parts say of which rows are done."""

import logging
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.table.condition import WITHOUT_TEXTS, Condition
from artimuse.table.ledger import Ledger
from artimuse.table.parts import PARTS, parts_by_shard, store_part
from artimuse.table.schema import score_schema
from tests.table.score_rows import VALUES, SmallTable, score_rows


def test_the_last_shard_may_be_shorter(table: SmallTable):
    for rows in ([0, 9], range(10, 20), [20, 24]):
        table.write(score_rows(rows))
    assert table.ledger().num_shards == 3
    assert table.ledger().num_done() == 14
    assert np.flatnonzero(table.ledger().done_rows(0)).tolist() == [0, 9]
    assert table.ledger().done_rows(1).all()
    assert np.flatnonzero(table.ledger().done_rows(2)).tolist() == [0, 4]


def test_a_plan_that_fills_its_last_shard_has_no_empty_one_behind(output: Folder):
    ledger = Ledger(output, num_rows=20, rows_per_shard=10)
    assert ledger.num_shards == 2
    assert len(ledger.done_rows(1)) == 10


def test_rows_in_two_parts_are_counted_once(table: SmallTable):
    table.write(score_rows([1, 2, 3]))
    table.write(score_rows([3, 4]))
    assert table.ledger().num_done() == 4


def test_a_ledger_is_as_of_when_it_was_opened(table: SmallTable):
    opened = table.ledger()
    assert opened.num_done() == 0
    table.write(score_rows([1]))
    assert opened.num_done() == 0
    assert table.ledger().num_done() == 1


def torn(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "not Parquet":
        return b"I was a part once."
    if how == "no row numbers":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"score": [1.0]}), sink)
        return sink.getvalue().to_pybytes()
    start = 8 if how == "first page" else len(data) - 200
    return data[:start] + bytes(100) + data[start + 100 :]


@pytest.mark.parametrize("how", ["cut", "empty", "not Parquet", "no row numbers", "first page", "footer"])
def test_a_part_that_cannot_be_read_is_removed_and_its_rows_come_again(
    table: SmallTable, output: Folder, how: str, caplog: pytest.LogCaptureFixture
):
    good, bad = table.write(score_rows([0, 1])), table.write(score_rows([2, 3]))
    output.write(f"{PARTS}/{bad}", torn(output.read(f"{PARTS}/{bad}"), how))
    with caplog.at_level(logging.WARNING):
        assert table.ledger().num_done() == 2
    [message] = [record.getMessage() for record in caplog.records]
    assert "unreadable" in message
    assert bad in message
    assert output.names(PARTS) == [good]
    table.write(score_rows([2, 3]))
    assert table.ledger().num_done() == 4


def test_damage_of_any_kind_never_ends_the_run(table: SmallTable, output: Folder):
    name = table.write(score_rows(range(10)))
    whole = output.read(f"{PARTS}/{name}")
    chance = random.Random(0)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(8):
            data[chance.randrange(len(data))] = chance.randrange(256)
        output.write(f"{PARTS}/{name}", bytes(data[: chance.randint(0, 2 * len(data))]))
        assert table.ledger().num_done() in (0, 10)


def test_a_part_under_the_name_of_another_is_not_believed(table: SmallTable, output: Folder):
    first, second = table.write(score_rows([0, 1])), table.write(score_rows([12, 13]))
    output.write(f"{PARTS}/{first}", output.read(f"{PARTS}/{second}"))
    assert np.flatnonzero(table.ledger().done_rows(0)).tolist() == []
    assert output.names(PARTS) == [second]


def test_a_part_that_the_storage_does_not_give_is_kept(table: SmallTable, output: Folder):
    name = table.write(score_rows([0, 1]))
    opened = table.ledger()
    output.remove(f"{PARTS}/{name}")
    with pytest.raises(BadOutput, match=rf"{name}: cannot be read"):
        opened.num_done()


def test_files_beside_the_parts_are_left_alone(table: SmallTable, output: Folder):
    part = table.write(score_rows([0, 1]))
    for name in (".DS_Store", "_SUCCESS", "notes.txt", "00000-mine.parquet", f"{part}.crc"):
        output.write(f"{PARTS}/{name}", b"mine")
    assert table.ledger().num_done() == 2
    assert parts_by_shard(output) == {0: [part]}
    assert len(output.names(PARTS)) == 6


def test_a_part_with_rows_that_the_plan_has_not_is_refused_by_name(table: SmallTable, output: Folder):
    name = store_part(output, PARTS, 2, score_rows([24, 25]))
    with pytest.raises(BadOutput, match=rf"{name}: has rows that the plan has not"):
        table.ledger().num_done()


def test_failed_rows_are_told_with_their_attempt_and_by_code(table: SmallTable, output: Folder):
    store_part(output, PARTS, 0, score_rows([0, 2, 3], code="corrupt", attempt=2))
    store_part(output, PARTS, 0, score_rows([5, 6], code="not_found"))
    store_part(output, PARTS, 0, score_rows([1, 4]))
    store_part(output, PARTS, 1, score_rows([11], code="corrupt"))
    assert table.ledger().attempts_failed(0, ()).tolist() == [2, 0, 2, 2, 0, 1, 1, 0, 0, 0]
    assert table.ledger().attempts_failed(0, ["not_found"]).tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert table.ledger().attempts_failed(0, ["corrupt", "not_found"]).tolist() == [2, 0, 2, 2, 0, 1, 1, 0, 0, 0]
    assert table.ledger().attempts_failed(1, ["truncated"]).tolist() == [0] * 10
    assert table.ledger().attempts_failed(2, ()).tolist() == [0] * 5


def test_failed_rows_are_counted_once(table: SmallTable, output: Folder):
    assert table.ledger().num_failed() == 0
    store_part(output, PARTS, 0, score_rows([0, 2, 3], code="corrupt"))
    store_part(output, PARTS, 0, score_rows([3, 5], code="not_found"))
    store_part(output, PARTS, 0, score_rows([1, 4]))
    store_part(output, PARTS, 1, score_rows([11], code="corrupt"))
    assert (table.ledger().num_done(), table.ledger().num_failed()) == (7, 5)


def test_a_damaged_part_has_no_failed_rows(table: SmallTable, output: Folder):
    good, bad = table.write(score_rows([0], code="corrupt")), table.write(score_rows([1], code="corrupt"))
    output.write(f"{PARTS}/{bad}", b"torn")
    opened = table.ledger()
    assert opened.attempts_failed(0, ()).tolist() == [1] + [0] * 9
    assert opened.parts_by_shard == {0: [good]}


def test_shards_to_be_compacted_are_told_apart(table: SmallTable):
    table.write(score_rows(range(0, 6)))
    table.write(score_rows(range(6, 10)))  # shard 0 is whole, in two parts
    table.write(score_rows([10, 11]))
    table.write(score_rows([11, 12]))  # shard 1 has a row twice
    table.write(score_rows([20], attempt=2), replaces=True)  # shard 2 has a row that waits
    opened = table.ledger()
    assert opened.num_done() == 13
    assert opened.fragmented_shards() == {0}
    assert opened.overlapping_shards == {1}
    assert opened.staged_shards == {2}


def test_rows_are_found_by_a_condition_on_their_columns(table: SmallTable):
    condition = Condition("score >= 60", score_schema(VALUES, pa.schema([])), among=WITHOUT_TEXTS)
    table.write(score_rows([0, 3], score=70))
    table.write(score_rows([4], score=70, text="described"))
    table.write(score_rows([5], score=50))
    table.write(score_rows([7], code="corrupt"))
    table.write(score_rows([3, 8], score=90))  # 3 is in two parts
    table.write(score_rows([12], score=70))
    opened = table.ledger()
    assert [opened.offsets_where(shard, condition).tolist() for shard in range(3)] == [[0, 3, 8], [2], []]
