"""Parts, their names, and the ledger that reads them."""

import logging
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadOutput
from artimuse.sinks.parquet import PARTS, ParquetSink, PartsLedger, part_name, parts_by_shard
from artimuse.storage import Folder
from tests.sinks.score_rows import FINGERPRINTS, begin_run, score_rows


@pytest.fixture
def sink(output: Folder) -> ParquetSink:
    """Of 25 rows in shards of 10."""
    begin_run(output, num_rows=25)
    return ParquetSink(output, 10)


@pytest.fixture
def ledger(sink: ParquetSink):
    """Opens the ledger anew."""
    return lambda: sink.open(FINGERPRINTS)


def read(output: Folder, part: str) -> pa.Table:
    with output.open(f"{PARTS}/{part}") as file:
        return pq.read_table(file)


def test_names_are_functions_of_the_row_numbers_alone(sink: ParquetSink):
    names = {
        sink.write(score_rows(rows, score=score)).part
        for rows, score in (([10, 11, 13], 1.0), ([13, 10, 11], 99.5), ([11, 13, 10], None))
    }
    assert names == {part_name(1, np.array([10, 11, 13]))}


def test_names_tell_shard_first_row_and_count():
    name = part_name(7, np.arange(350_000, 351_024))
    assert name.startswith("000007-000000350000-001024-")
    # Row numbers are hashed as little-endian int64, whatever the machine; a golden value keeps old outputs readable.
    assert part_name(0, np.array([0, 1, 2])) == "000000-000000000000-000003-20afc6f5c2aa.parquet"
    assert part_name(0, np.array([0, 1, 2], dtype=">i8")) == part_name(0, np.array([0, 1, 2], dtype=np.int32))


def test_rows_are_stored_sorted_and_unchanged(sink: ParquetSink, output: Folder):
    rows = score_rows([4, 2, 3], score=12.5)
    assert read(output, sink.write(rows).part) == rows.sort_by("row_number")


def test_the_schema_travels_with_its_units(sink: ParquetSink, output: Folder):
    part = read(output, sink.write(score_rows([1])).part)
    for field in score_rows([]).schema:
        stored = part.schema.field(field.name)
        assert (stored.type, stored.nullable, stored.metadata) == (field.type, field.nullable, field.metadata)


def test_the_last_shard_may_be_shorter(sink: ParquetSink, ledger):
    for rows in ([0, 9], range(10, 20), [20, 24]):
        sink.write(score_rows(rows))
    assert ledger().num_shards == 3
    assert ledger().num_done() == 14
    assert np.flatnonzero(ledger().done_rows(0)).tolist() == [0, 9]
    assert ledger().done_rows(1).all()
    assert np.flatnonzero(ledger().done_rows(2)).tolist() == [0, 4]


def test_a_plan_that_fills_its_last_shard_has_no_empty_one_behind(output: Folder):
    ledger = PartsLedger(output, num_rows=20, rows_per_shard=10)
    assert ledger.num_shards == 2
    assert len(ledger.done_rows(1)) == 10


def test_rows_in_two_parts_are_counted_once(sink: ParquetSink, ledger):
    sink.write(score_rows([1, 2, 3]))
    sink.write(score_rows([3, 4]))
    assert ledger().num_done() == 4


def test_a_ledger_is_as_of_when_it_was_opened(sink: ParquetSink, ledger):
    opened = ledger()
    assert opened.num_done() == 0
    sink.write(score_rows([1]))
    assert opened.num_done() == 0
    assert ledger().num_done() == 1


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
    sink: ParquetSink, ledger, output: Folder, how: str, caplog: pytest.LogCaptureFixture
):
    good, bad = sink.write(score_rows([0, 1])).part, sink.write(score_rows([2, 3])).part
    output.write(f"{PARTS}/{bad}", torn(output.read(f"{PARTS}/{bad}"), how))
    with caplog.at_level(logging.WARNING):
        assert ledger().num_done() == 2
    [message] = [record.getMessage() for record in caplog.records]
    assert "unreadable" in message
    assert bad in message
    assert output.names(PARTS) == [good]
    sink.write(score_rows([2, 3]))
    assert ledger().num_done() == 4


def test_damage_of_any_kind_never_ends_the_run(sink: ParquetSink, ledger, output: Folder):
    name = sink.write(score_rows(range(10))).part
    whole = output.read(f"{PARTS}/{name}")
    chance = random.Random(0)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(8):
            data[chance.randrange(len(data))] = chance.randrange(256)
        output.write(f"{PARTS}/{name}", bytes(data[: chance.randint(0, 2 * len(data))]))
        assert ledger().num_done() in (0, 10)


def test_a_part_under_the_name_of_another_is_not_believed(sink: ParquetSink, ledger, output: Folder):
    first, second = sink.write(score_rows([0, 1])).part, sink.write(score_rows([12, 13])).part
    output.write(f"{PARTS}/{first}", output.read(f"{PARTS}/{second}"))
    assert np.flatnonzero(ledger().done_rows(0)).tolist() == []
    assert output.names(PARTS) == [second]


def test_a_part_that_the_storage_does_not_give_is_kept(sink: ParquetSink, ledger, output: Folder):
    name = sink.write(score_rows([0, 1])).part
    opened = ledger()
    output.remove(f"{PARTS}/{name}")
    with pytest.raises(BadOutput, match=rf"{name}: cannot be read"):
        opened.num_done()


def test_files_beside_the_parts_are_left_alone(sink: ParquetSink, ledger, output: Folder):
    part = sink.write(score_rows([0, 1])).part
    for name in (".DS_Store", "_SUCCESS", "notes.txt", "00000-mine.parquet", f"{part}.crc"):
        output.write(f"{PARTS}/{name}", b"mine")
    assert ledger().num_done() == 2
    assert parts_by_shard(output) == {0: [part]}
    assert len(output.names(PARTS)) == 6
