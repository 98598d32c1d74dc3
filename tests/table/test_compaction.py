"""Compacting a shard: every row once, the latest attempt, few files; and a crash at any step."""

import logging
from collections.abc import Callable, Iterable

import pytest

from artimuse.io.folder import Folder
from artimuse.table import compaction
from artimuse.table.compaction import compact_shard
from artimuse.table.parts import PARTS, STAGED, read_part, shard_parts, store_part
from tests.table.crashing import Crash, CrashingFolder
from tests.table.score_rows import filesystem_of, score_rows

ENOUGH_STEPS = 1_000


def store(
    output: Folder,
    rows: Iterable[int],
    *,
    folder: str = PARTS,
    score: float = 50.0,
    attempt: int = 1,
    failed: bool = False,
) -> str:
    code = "corrupt" if failed else None
    return store_part(output, folder, 0, score_rows(rows, score=score, attempt=attempt, code=code))


def table(output: Folder) -> list[tuple[int, int, float | None]]:
    """Row number, attempt and score of every row of every part, in order."""
    parts = [read_part(output, PARTS, name) for name in shard_parts(output, PARTS, 0)]
    rows = [row for part in parts for row in part.to_pylist()]
    return sorted((row["row_number"], row["attempt"], row["score"]) for row in rows)


def test_a_compact_shard_is_left_alone(output: Folder):
    store(output, [0, 1])
    store(output, [2])
    watched = CrashingFolder.over(output, ENOUGH_STEPS)
    compact_shard(watched, 0, is_complete=False)
    assert watched.steps == []


def test_an_empty_shard_is_left_alone(output: Folder):
    compact_shard(output, 0, is_complete=False)
    assert output.names(PARTS) == []


def test_a_row_in_two_parts_stays_in_the_larger(output: Folder):
    small, large = store(output, [2, 3], score=1.0), store(output, [0, 1, 2], score=2.0)
    compact_shard(output, 0, is_complete=False)
    assert table(output) == [(0, 1, 2.0), (1, 1, 2.0), (2, 1, 2.0), (3, 1, 1.0)]
    assert large in output.names(PARTS)
    assert small not in output.names(PARTS)


def test_what_is_left_of_a_part_may_be_a_part_that_is_there_already(output: Folder):
    store(output, range(0, 6), score=1.0)
    store(output, range(4, 9), score=2.0)
    store(output, range(6, 9), score=3.0)
    compact_shard(output, 0, is_complete=False)
    assert [row[0] for row in table(output)] == list(range(9))


def test_a_later_attempt_wins_over_a_larger_part(output: Folder):
    store(output, [0, 1, 2], failed=True)
    store(output, [2, 3], score=7.0, attempt=2)
    compact_shard(output, 0, is_complete=False)
    assert [row for row in table(output) if row[1] == 2] == [(2, 2, 7.0), (3, 2, 7.0)]
    assert [row[0] for row in table(output)] == [0, 1, 2, 3]


def test_staged_rows_take_the_place_of_those_they_replace_under_the_same_name(output: Folder):
    name = store(output, [0, 1, 2], failed=True)
    untouched = store(output, [3, 4], score=3.0)
    store(output, [1], folder=STAGED, score=9.0, attempt=2)
    compact_shard(output, 0, is_complete=False)
    assert table(output) == [(0, 1, None), (1, 2, 9.0), (2, 1, None), (3, 1, 3.0), (4, 1, 3.0)]
    assert output.names(PARTS) == sorted([name, untouched])
    assert output.names(STAGED) == []


def test_of_several_staged_attempts_the_latest_wins(output: Folder):
    store(output, [0, 1, 2], failed=True)
    store(output, [0, 1], folder=STAGED, score=9.0, attempt=3)
    store(output, [1, 2], folder=STAGED, score=8.0, attempt=2)
    compact_shard(output, 0, is_complete=False)
    assert table(output) == [(0, 3, 9.0), (1, 3, 9.0), (2, 2, 8.0)]


def test_staged_rows_of_an_attempt_that_is_there_already_are_dropped(output: Folder):
    store(output, [0, 1], score=4.0, attempt=3)
    store(output, [0], folder=STAGED, score=9.0, attempt=3)
    store(output, [1], folder=STAGED, score=9.0, attempt=2)
    compact_shard(output, 0, is_complete=False)
    assert table(output) == [(0, 3, 4.0), (1, 3, 4.0)]
    assert output.names(STAGED) == []


def test_staged_rows_that_have_lost_their_part_are_not_lost_themselves(output: Folder):
    store(output, [0, 1])
    store(output, [5, 6], folder=STAGED, score=9.0, attempt=2)
    compact_shard(output, 0, is_complete=False)
    assert [row[0] for row in table(output)] == [0, 1, 5, 6]


def test_a_complete_shard_becomes_one_part_and_an_incomplete_one_does_not(output: Folder):
    for start in range(0, 10, 2):
        store(output, range(start, start + 2), score=float(start))
    before = table(output)
    compact_shard(output, 0, is_complete=False)
    assert len(output.names(PARTS)) == 5
    compact_shard(output, 0, is_complete=True)
    assert len(output.names(PARTS)) == 1
    assert table(output) == before


def test_parts_are_merged_up_to_the_largest_size(output: Folder, monkeypatch: pytest.MonkeyPatch):
    names = [store(output, range(start, start + 2)) for start in range(0, 10, 2)]
    largest = max(output.size(f"{PARTS}/{name}") for name in names)
    monkeypatch.setattr(compaction, "MAX_PART_BYTES", 2.5 * largest)
    compact_shard(output, 0, is_complete=True)
    assert [int(name.split("-")[2]) for name in output.names(PARTS)] == [4, 4, 2]
    assert [row[0] for row in table(output)] == list(range(10))


def test_other_shards_are_left_alone(output: Folder):
    other = store_part(output, PARTS, 1, score_rows([10]))
    staged = store_part(output, STAGED, 1, score_rows([10], attempt=2))
    store(output, [0])
    store(output, [1])
    compact_shard(output, 0, is_complete=True)
    assert other in output.names(PARTS)
    assert output.names(STAGED) == [staged]


def test_a_part_whose_damage_shows_only_when_it_is_read_whole_costs_its_own_rows_only(
    output: Folder, caplog: pytest.LogCaptureFixture
):
    store(output, [0, 1], score=1.0)
    bad = store(output, [2, 3], score=2.0)
    data = bytearray(output.read(f"{PARTS}/{bad}"))
    position = data.index(b"2.jpg")
    data[position - 16 : position + 16] = bytes(32)  # the image_ids: the row numbers are whole
    output.write(f"{PARTS}/{bad}", bytes(data))
    with caplog.at_level(logging.ERROR):
        compact_shard(output, 0, is_complete=True)
    assert [row[0] for row in table(output)] == [0, 1]


def overlapping(output: Folder) -> None:
    store(output, range(0, 6), score=1.0)
    store(output, range(4, 9), score=2.0)
    store(output, range(6, 9), score=3.0)
    store(output, [3], score=4.0)
    store(output, [9], score=5.0)


def retried(output: Folder) -> None:
    store(output, range(0, 5), failed=True)
    store(output, range(5, 10), failed=True)
    store(output, [1, 2, 7], folder=STAGED, score=6.0, attempt=2)
    store(output, [2, 3], folder=STAGED, score=7.0, attempt=3)


def overlapping_and_retried(output: Folder) -> None:
    overlapping(output)
    store(output, [0, 5], score=8.0, attempt=2)
    store(output, [4, 5, 9], folder=STAGED, score=9.0, attempt=3)


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("mess", [overlapping, retried, overlapping_and_retried])
def test_after_a_crash_at_any_step_the_shard_is_compacted_to_the_same_table(
    output: Folder, mess: Callable[[Folder], None], is_complete: bool
):
    mess(output)
    before = {path: filesystem_of(output).cat_file(path) for path in filesystem_of(output).find(output.root)}
    whole_run = CrashingFolder.over(output, ENOUGH_STEPS)
    compact_shard(whole_run, 0, is_complete=is_complete)
    expected = table(output)
    assert [row[0] for row in expected] == list(range(10))
    assert len(whole_run.steps) >= 2
    for num_steps in range(len(whole_run.steps)):
        for path in filesystem_of(output).find(output.root):
            filesystem_of(output).rm_file(path)
        for path, data in before.items():
            filesystem_of(output).pipe_file(path, data)
        with pytest.raises(Crash):
            compact_shard(CrashingFolder.over(output, num_steps), 0, is_complete=is_complete)
        assert {row[0] for row in table(output)} == set(range(10)), "every row is in the table at any moment"
        compact_shard(output, 0, is_complete=is_complete)
        assert table(output) == expected, f"after a crash before step {num_steps + 1} of {whole_run.steps}"
        assert output.names(STAGED) == []
