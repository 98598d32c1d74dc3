"""How much room texts in flight have, which is arithmetic; what is computed in it is tested with the engine."""

import pytest

from artimuse.engines.rows import ROW_BUCKETS, MemoryShape, Row, bucket_of

SHAPE = MemoryShape(num_rows=64, width=192, num_questions=8, num_shared=267)


def changed(**changes: int) -> MemoryShape:
    return MemoryShape(**({name: getattr(SHAPE, name) for name in SHAPE.__slots__} | changes))


def test_images_have_twice_as_many_places_as_rows_have_questions():
    assert SHAPE.num_places == 16
    assert changed(num_rows=65).num_places == 18
    assert changed(num_questions=1).num_places == 64
    assert SHAPE.num_tokens == 64 * 192 + 16 * 267


@pytest.mark.parametrize("changes", [{"num_rows": 96}, {"width": 256}, {"num_questions": 9}, {"num_shared": 266}])
def test_a_memory_holds_what_is_no_larger_and_has_the_same_prefix(changes):
    larger = changed(**changes)
    assert SHAPE.holds(SHAPE)
    assert not SHAPE.holds(larger)
    both = larger.with_room_for(SHAPE)
    assert both.holds(larger)
    assert both.holds(SHAPE) == ("num_shared" not in changes)


def test_callers_in_turns_end_up_with_room_for_each():
    wide, many = changed(width=512, num_questions=1), SHAPE
    both = many.with_room_for(wide)
    assert both.holds(wide)
    assert both.holds(many)
    assert both == wide.with_room_for(many)


def test_rows_are_filled_up_to_the_next_graph():
    assert [bucket_of(count) for count in (1, 8, 9, 1000, 1024)] == [8, 8, 16, 1024, 1024]
    assert bucket_of(ROW_BUCKETS[-1] + 1) == ROW_BUCKETS[-1] + 1


def test_a_text_ends_with_its_stop_token_or_at_its_limit():
    row = Row(image=0, question=0, place=0)
    row.add([1, 2, 3], 9, 5)
    assert (row.token_ids, row.is_finished) == ([1, 2, 3], False)
    row.add([4, 9, 7, 9], 9, 5)
    assert (row.token_ids, row.is_finished) == ([1, 2, 3, 4, 9], True)
    cut = Row(image=0, question=0, place=0)
    cut.add([1, 2, 3, 4], 9, 3)
    assert (cut.token_ids, cut.is_finished) == ([1, 2, 3], True)
    without = Row(image=0, question=0, place=0)
    without.add([9, 9], None, 3)
    assert not without.is_finished
