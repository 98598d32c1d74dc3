"""Fetching ahead: while one image is decoded, the next ones are already on their way."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.io.fetch import fetch
from artimuse.io.location import Location, local_path
from artimuse.io.parquet_cells import close_file
from artimuse.io.prefetch import prefetch

NUM_THREADS = 16
"""Concurrent reads per worker: at 50 ms each, 300 images/s, several times what a core decodes."""
NUM_AHEAD = 32
"""Images asked for and not yet taken: the most that are in memory undecoded."""
NUM_CELLS_AHEAD = 8
"""How many cells of a Parquet file are read ahead, by one thread in the order of its rows."""


class Fetcher:
    """Made once per worker process."""

    def __init__(self, limits: DecodeLimits, *, reads_files_ahead: bool = False) -> None:
        """`reads_files_ahead` is for decoders with many threads, which a slow disk would keep waiting."""
        self.limits = limits
        self.reads_files_ahead = reads_files_ahead
        self._threads = ThreadPoolExecutor(NUM_THREADS, "fetch")
        self._cell_thread = ThreadPoolExecutor(1, "fetch-cell")

    def __call__(self, locations: Sequence[Location]) -> Iterator[bytes | RowError]:
        """What `fetch` returns for each, in their order."""
        if any(location.column is not None for location in locations):
            return prefetch(self._fetch, locations, threads=self._cell_thread, ahead=NUM_CELLS_AHEAD)
        if self.reads_files_ahead or any(local_path(location.uri) is None for location in locations):
            return prefetch(self._fetch, locations, threads=self._threads, ahead=NUM_AHEAD)
        # The system reads local files ahead by itself; one decoder would lose more to a thread than it saves.
        return map(self._fetch, locations)

    def close(self) -> None:
        """Begins nothing new, and does not wait for servers that have not answered yet."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._cell_thread.shutdown(cancel_futures=True)
        close_file()

    def _fetch(self, location: Location) -> bytes | RowError:
        return fetch(location, self.limits)
