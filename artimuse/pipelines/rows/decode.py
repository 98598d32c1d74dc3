"""Plan rows to rows with pixels: fetching, decoding, and the facts of each file."""

# B images, H and W pixels, C = 3 channels
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.errors import RowError
from artimuse.images.decode import IMAGE_SIZE_PX, DecodedImage, decode
from artimuse.images.hashes import phash
from artimuse.images.metadata import read_metadata
from artimuse.interfaces import PixelArray
from artimuse.io.fetcher import Fetcher
from artimuse.io.prefetch import prefetch
from artimuse.pipelines.rows.job import BEGAN_AT, DECODE_S, FETCH_S, PIXELS, ScoreJob, refuse_blind_node
from artimuse.table.plan import locations, read_plan_rows
from artimuse.table.schema import METADATA_FIELDS

# 128 rows of pixels are 77 MB: under Ray's 128 MiB block, and small enough for several in flight.
ROWS_PER_PIXEL_BLOCK = 128
# Decoded and not yet taken: enough that no thread waits for the others.
_AHEAD_PER_THREAD = 4

_PIXELS_TYPE = pa.binary(IMAGE_SIZE_PX * IMAGE_SIZE_PX * 3)
_FACTS = (
    pa.field("error_code", pa.string()),
    pa.field("error", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("sha256", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("format", pa.string()),
    pa.field("phash", pa.uint64()),
    pa.field(FETCH_S, pa.float64()),
    pa.field(DECODE_S, pa.float64()),
)


class RowDecoder:
    """Fetches and decodes the rows of one unit of work; a bad file becomes a failed row."""

    def __init__(self, job: ScoreJob, *, num_threads: int = 1) -> None:
        """With more than one thread files are decoded side by side, and ahead of who takes them: Pillow lets them.

        Raises ClusterProblem on a node that does not see the images: its rows must not become failures.
        """
        refuse_blind_node(job)
        self.job = job
        self.num_threads = num_threads
        self.fetcher = Fetcher(job.limits, reads_files_ahead=num_threads > 1)
        self._threads = ThreadPoolExecutor(num_threads, "decode")
        self.fact_fields = (*_FACTS, *(METADATA_FIELDS if job.with_metadata else ()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self.fetcher.close()

    def __call__(self, shard: int, offsets: npt.NDArray[np.int32], attempt: int, chunk: int) -> Iterator[pa.Table]:
        """Yields tables of at most `chunk` rows: the plan's columns, facts of the file, and the pixels."""
        rows = read_plan_rows(self.job.output, shard, offsets)
        looked = self._look(_arriving(self.fetcher(locations(rows))))
        rows = rows.append_column("attempt", pa.array(np.full(len(rows), attempt, dtype=np.int8)))
        for start in range(0, len(rows), chunk):
            yield self._decode(rows.slice(start, chunk), looked)

    def _look(self, arriving: "Iterator[_Arrival]") -> "Iterator[_Look]":
        """In the order of the files."""
        if self.num_threads == 1:
            return map(self._look_at, arriving)
        ahead = _AHEAD_PER_THREAD * self.num_threads
        return prefetch(self._look_at, arriving, threads=self._threads, ahead=ahead)

    def _look_at(self, arrival: "_Arrival") -> "_Look":
        return _look_at(arrival, self.job)

    def _decode(self, rows: pa.Table, looked: "Iterator[_Look]") -> pa.Table:
        began_at = pa.array([time.time()] * len(rows))
        pixels_BHWC = np.zeros((len(rows), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)
        facts = []
        for i, (fact, pixels_HWC) in zip(range(len(rows)), looked):
            facts.append(fact)
            if pixels_HWC is not None:
                pixels_BHWC[i] = pixels_HWC
        for field in self.fact_fields:
            rows = rows.append_column(field, pa.array([fact.get(field.name) for fact in facts], field.type))
        return rows.append_column(BEGAN_AT, began_at).append_column(PIXELS, _as_column(pixels_BHWC))


def pixels_of(rows: pa.Table) -> PixelArray:
    """The pixels of decoded rows (B, H, W, C), over the same memory if that is in one piece."""
    chunks = rows[PIXELS].chunks
    column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    flat = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    width = column.type.byte_width
    flat = flat[column.offset * width : (column.offset + len(column)) * width]
    return flat.reshape(len(column), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)


def _as_column(pixels_BHWC: PixelArray) -> pa.Array:
    return pa.Array.from_buffers(_PIXELS_TYPE, len(pixels_BHWC), [None, pa.py_buffer(pixels_BHWC)])


_Arrival = tuple[bytes | RowError, float]
"""A file, or why there is none, and the seconds spent waiting for it."""
_Look = tuple[dict[str, object], PixelArray | None]
"""What a file is, and its pixels unless it is bad."""


def _arriving(fetched: Iterator[bytes | RowError]) -> Iterator[_Arrival]:
    start = time.perf_counter()
    for data in fetched:
        yield data, time.perf_counter() - start
        start = time.perf_counter()


def _look_at(arrival: _Arrival, job: ScoreJob) -> _Look:
    data, waited_s = arrival
    fact: dict[str, object] = dict.fromkeys(field.name for field in _FACTS)
    start = time.perf_counter()
    image: DecodedImage | RowError = data if isinstance(data, RowError) else decode(data, job.limits)
    if not isinstance(data, RowError):
        fact |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if job.with_metadata:
            fact |= {f"meta_{name}": text for name, text in read_metadata(data).items()}
    pixels_HWC = None
    if isinstance(image, RowError):
        fact |= {"error_code": image.code, "error": image.message}
    else:
        pixels_HWC = image.pixels_HWC
        fact |= {"width": image.width, "height": image.height, "format": image.format}
        fact |= {"phash": phash(pixels_HWC)}
    fact |= {FETCH_S: waited_s, DECODE_S: time.perf_counter() - start}
    return fact, pixels_HWC
