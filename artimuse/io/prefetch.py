"""Doing what waits for a network in threads, ahead of whoever needs the results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: Executor, ahead: int
) -> Generator[Result, None, None]:
    """Results in the order of the items, with at most `ahead` of them begun and not yet taken.

    What `function` raises is raised in its place. Nothing new begins once the iterator is closed.
    """
    items = iter(items)
    begun: deque[Future[Result]] = deque(threads.submit(function, item) for item in islice(items, ahead))
    try:
        while begun:
            result = begun.popleft().result()
            begun.extend(threads.submit(function, item) for item in islice(items, 1))
            yield result
    finally:
        for future in begun:
            future.cancel()
