"""Results in order, bounded work ahead, errors in their place."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from artimuse.io.prefetch import prefetch, run_ahead


def test_results_come_in_order_and_no_more_is_begun_than_asked_for():
    begun = 0
    lock = threading.Lock()

    def square(number: int) -> int:
        nonlocal begun
        with lock:
            begun += 1
        return number * number

    with ThreadPoolExecutor(4) as threads:
        results = prefetch(square, range(100), threads=threads, ahead=5)
        for number, result in enumerate(results):
            assert result == number * number
            assert begun <= number + 6
    assert begun == 100


def test_work_overlaps():
    together = threading.Barrier(8, timeout=10)
    with ThreadPoolExecutor(8) as threads:
        assert len(list(prefetch(lambda _: together.wait(), range(16), threads=threads, ahead=8))) == 16


def test_an_error_is_raised_in_its_place_and_ends_the_work():
    asked: list[int] = []

    def fail_at_three(number: int) -> int:
        asked.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    with (
        ThreadPoolExecutor(1) as threads,
        closing(prefetch(fail_at_three, range(1000), threads=threads, ahead=4)) as results,
    ):
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three"):
            next(results)
    assert len(asked) <= 7


def test_items_are_made_before_they_are_taken_but_not_many():
    made: list[int] = []
    is_made = threading.Condition()

    def numbers() -> Iterator[int]:
        for number in range(100):
            with is_made:
                made.append(number)
                is_made.notify_all()
            yield number

    for number in run_ahead(numbers(), ahead=2):
        with is_made:
            assert is_made.wait_for(lambda n=number: len(made) >= min(n + 2, 100), timeout=10)
            assert len(made) <= number + 3
    assert made == list(range(100))


def test_an_error_in_making_an_item_is_raised_in_its_place():
    def numbers() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    items = run_ahead(numbers(), ahead=3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="two"):
        next(items)


def test_closing_does_not_wait_for_the_item_that_is_being_made():
    is_over = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        is_over.wait(timeout=30)
        yield 2

    items = run_ahead(numbers(), ahead=1)
    assert next(items) == 1
    began_at = time.monotonic()
    items.close()
    assert time.monotonic() - began_at < 10
    is_over.set()
