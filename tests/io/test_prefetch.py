"""Results in order, bounded work ahead, errors in their place."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from artimuse.io.prefetch import prefetch


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
