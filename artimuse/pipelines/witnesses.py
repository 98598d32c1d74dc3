"""Images that the driver can read, by which every node proves that it sees INPUT too."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.io.fetch import fetch
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.table.plan import locations, num_shard_rows, read_plan_rows

logger = logging.getLogger(__name__)

NUM_WITNESSES = 4
MAX_CANDIDATES = 64
NUM_THREADS = 16
DEADLINE_S = 30.0
"""For all candidates together: they may be on servers that never answer."""


def find_witnesses(output: Folder, limits: DecodeLimits) -> list[Location]:
    """A few images of the plan that can be read here, looked for among a bounded number for a bounded time."""
    candidates = np.unique(np.linspace(0, num_shard_rows(output, 0) - 1, MAX_CANDIDATES, dtype=np.int64))
    images = locations(read_plan_rows(output, 0, candidates))
    threads = ThreadPoolExecutor(NUM_THREADS, "witness")
    tries = {threads.submit(fetch, image, limits): image for image in images}
    witnesses: list[Location] = []
    try:
        for done in _finished(tries):
            if not isinstance(done.result(), RowError):
                witnesses.append(tries[done])
            if len(witnesses) == NUM_WITNESSES:
                break
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    if not witnesses:
        logger.warning("none of %d images of INPUT can be read here: no node is checked for INPUT", len(images))
    return witnesses


def _finished(tries: "dict[Future[bytes | RowError], Location]") -> "Iterator[Future[bytes | RowError]]":
    try:
        yield from as_completed(tries, timeout=DEADLINE_S)
    except TimeoutError:
        logger.warning("not all of %d images of INPUT that were tried have answered in %.0f s", len(tries), DEADLINE_S)
