"""Which folder of the table rows go to."""

import pyarrow as pa

from artimuse.io.folder import Folder
from artimuse.table.compaction import compact_shard
from artimuse.table.parts import PARTS, STAGED, read_part
from tests.table.score_rows import SmallTable, score_rows


def test_new_rows_go_to_the_table_and_those_that_replace_others_wait_beside_it(table: SmallTable, output: Folder):
    first = table.write(score_rows([1, 2], code="corrupt"))
    later = table.write(score_rows([1, 2], attempt=2), replaces=True)
    assert later == first
    assert (output.names(PARTS), output.names(STAGED)) == ([first], [first])
    assert read_part(output, PARTS, first)["status"].to_pylist() == ["failed", "failed"]
    assert table.ledger().num_done() == 2


def test_staged_rows_alone_are_not_done(table: SmallTable):
    table.write(score_rows([1, 2], attempt=2), replaces=True)
    assert table.ledger().num_done() == 0


def test_second_and_third_attempts_may_share_a_part(table: SmallTable, output: Folder):
    rows = pa.concat_tables([score_rows([1], attempt=3), score_rows([2], attempt=2)])
    name = table.write(rows, replaces=True)
    assert read_part(output, STAGED, name)["attempt"].to_pylist() == [3, 2]


def test_texts_take_their_places_beside_the_scores_they_came_with(table: SmallTable, output: Folder):
    table.write(score_rows([1, 2, 3], score=50))
    table.write(score_rows([2], score=50, text="well composed"), replaces=True)
    compact_shard(output, 0, is_complete=False)
    [name] = output.names(PARTS)
    part = read_part(output, PARTS, name)
    assert part["overall_gestalt"].to_pylist() == [None, "well composed", None]
    assert part["texts_truncated"].to_pylist() == [None, 0, None]
    assert output.names(STAGED) == []


def test_texts_that_come_twice_are_written_once(table: SmallTable, output: Folder):
    name = table.write(score_rows([1], text="first"), replaces=True)
    assert table.write(score_rows([1], text="second"), replaces=True) == name
    assert read_part(output, STAGED, name)["overall_gestalt"].to_pylist() == ["first"]


def test_a_later_attempt_without_texts_counts_more_than_texts_of_an_earlier_one(table: SmallTable, output: Folder):
    table.write(score_rows([1], score=50, text="well composed"))
    table.write(score_rows([1], score=60, attempt=2), replaces=True)
    compact_shard(output, 0, is_complete=False)
    part = read_part(output, PARTS, output.names(PARTS)[0])
    assert (part["score"].to_pylist(), part["overall_gestalt"].to_pylist()) == ([60], [None])
