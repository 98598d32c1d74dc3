"""Parts: their names, and what a part that is there already is kept for."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.io.folder import Folder
from artimuse.table.parts import PARTS, STAGED, part_name, read_part, shard_parts, store_part, store_part_once
from tests.table.score_rows import SmallTable, score_rows


def read(output: Folder, part: str) -> pa.Table:
    with output.open(f"{PARTS}/{part}") as file:
        return pq.read_table(file)


def test_names_are_functions_of_the_row_numbers_alone(table: SmallTable):
    names = {
        table.write(score_rows(rows, score=score))
        for rows, score in (([10, 11, 13], 1.0), ([13, 10, 11], 99.5), ([11, 13, 10], None))
    }
    assert names == {part_name(1, np.array([10, 11, 13]))}


def test_names_tell_shard_first_row_and_count():
    name = part_name(7, np.arange(350_000, 351_024))
    assert name.startswith("000007-000000350000-001024-")
    # Row numbers are hashed as little-endian int64, whatever the machine; a golden value keeps old outputs readable.
    assert part_name(0, np.array([0, 1, 2])) == "000000-000000000000-000003-20afc6f5c2aa.parquet"
    assert part_name(0, np.array([0, 1, 2], dtype=">i8")) == part_name(0, np.array([0, 1, 2], dtype=np.int32))


def test_rows_are_stored_sorted_and_unchanged(table: SmallTable, output: Folder):
    rows = score_rows([4, 2, 3], score=12.5)
    assert read(output, table.write(rows)) == rows.sort_by("row_number")


def test_the_schema_travels_with_its_units(table: SmallTable, output: Folder):
    part = read(output, table.write(score_rows([1])))
    for field in score_rows([]).schema:
        stored = part.schema.field(field.name)
        assert (stored.type, stored.nullable, stored.metadata) == (field.type, field.nullable, field.metadata)


def test_the_parts_of_a_shard_are_its_own(table: SmallTable, output: Folder):
    first, second, third = (table.write(score_rows(rows)) for rows in ([0, 1], [10], [2]))
    assert shard_parts(output, PARTS, 0) == [first, third]
    assert shard_parts(output, PARTS, 1) == [second]
    assert shard_parts(output, STAGED, 0) == []


@pytest.mark.parametrize(("there", "new", "kept"), [(1, 1, 1), (2, 1, 2), (1, 2, 2), (2, 3, 3), (3, 2, 3)])
def test_the_same_rows_are_kept_unless_the_new_ones_are_a_later_attempt(
    output: Folder, there: int, new: int, kept: int
):
    store_part_once(output, PARTS, 0, score_rows([1, 2], score=10.0, attempt=there))
    name = store_part_once(output, PARTS, 0, score_rows([2, 1], score=20.0, attempt=new))
    part = read_part(output, PARTS, name)
    assert part["attempt"].to_pylist() == [kept, kept]
    assert part["score"].to_pylist() == ([20.0] * 2 if kept > there else [10.0] * 2)


def test_rows_are_written_over_a_damaged_part(output: Folder, caplog: pytest.LogCaptureFixture):
    name = store_part(output, PARTS, 0, score_rows([1, 2]))
    output.write(f"{PARTS}/{name}", b"torn")
    with caplog.at_level(logging.ERROR):
        store_part_once(output, PARTS, 0, score_rows([1, 2]))
    assert len(read_part(output, PARTS, name)) == 2


def test_of_the_same_rows_each_is_kept_in_its_latest_attempt(output: Folder):
    def rows(first: int, second: int) -> pa.Table:
        return pa.concat_tables([score_rows([1], attempt=first), score_rows([2], attempt=second)])

    store_part_once(output, STAGED, 0, rows(3, 2))
    name = store_part_once(output, STAGED, 0, rows(2, 3))
    assert read_part(output, STAGED, name)["attempt"].to_pylist() == [3, 3]
