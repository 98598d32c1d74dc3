"""Working in threads, ahead of whoever needs the results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count, islice
from typing import TypeVar, cast

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


def run_ahead(items: Iterable[Item], *, ahead: int) -> Generator[Item, None, None]:
    """The items, made in a thread of its own, up to `ahead` of them before they are taken.

    What making one raises is raised in its place. Once this is closed nothing new begins; what is being made is not
    waited for.
    """
    made, end = iter(items), object()
    thread = ThreadPoolExecutor(1, "ahead")
    try:
        with closing(prefetch(lambda _: next(made, end), count(), threads=thread, ahead=ahead)) as results:
            for item in results:
                if item is end:
                    return
                yield cast(Item, item)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
