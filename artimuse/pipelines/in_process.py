"""The work of a scoring run in this process, without Ray: one network, fed and relieved by threads (`--workers 0`)."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from os import cpu_count

import pyarrow as pa

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.score import ScoreConfig
from artimuse.engines import open_engine
from artimuse.images.decode import own_pixel_limit
from artimuse.interfaces import Engine
from artimuse.io.folder import Folder
from artimuse.io.prefetch import run_ahead
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.parity import ParityCertificate, certify_run
from artimuse.pipelines.record import ModelFacts
from artimuse.pipelines.rows import ROWS_PER_PIXEL_BLOCK, Receipt, RowDecoder, RowWriter, ScoreJob, open_scorer
from artimuse.runs.own_device import own_device
from artimuse.runs.signals import StopRequest
from artimuse.table.compaction import compact_shard

# Rows scored at a time, which is how long a stop request may have to wait. Texts take longer, but a GPU is busy only
# with those of hundreds of images.
ROWS_PER_CHUNK = {"cpu": 32, "cuda": ROWS_PER_PIXEL_BLOCK}
DESCRIBED_ROWS_PER_CHUNK = {"cpu": 8, "cuda": 2 * ROWS_PER_PIXEL_BLOCK}
MAX_DECODING_THREADS = 16
WORKER = "this process"


class InProcess:
    """Implements `backend.Backend`."""

    num_workers = 1

    def __init__(self) -> None:
        self._engine: Engine | None = None
        """Loaded once, although there are several calls of `receipts`, and perhaps one of `certify` before."""

    def open(self, config: ScoreConfig, model: ModelFacts) -> ScoreConfig:
        device = _device(config)
        return replace(config, model=model.name, device=device, dtype=chosen_dtype(config.dtype, device))

    def check(self, job: ScoreJob, *, weights: str | None) -> None:
        """This process has found all of it already."""

    def certify(self, job: ScoreJob, *, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
        with own_pixel_limit():
            found = certify_run(job, num_rows=num_rows, tolerance=tolerance)
        if found is None:
            return None
        certificate, self._engine = found
        return certificate

    def receipts(
        self, job: ScoreJob, units: Sequence[Unit], *, rows_per_part: int, stop: StopRequest
    ) -> Generator[Receipt, None, None]:
        """While rows are scored, the next ones are decoded and the last part is written."""
        num_threads = min(cpu_count() or 1, MAX_DECODING_THREADS)
        with (
            own_pixel_limit(),
            RowDecoder(job, num_threads=num_threads) as decode,
            ThreadPoolExecutor(1, "write") as thread,
            closing(run_ahead(_decoded(units, decode, _rows_per_chunk(job)), ahead=1)) as chunks,
        ):
            score, writing = self._scorer(job), _Writing(RowWriter(job), thread)
            scored: list[pa.Table] = []
            for rows, is_last in chunks:
                if stop.is_set:
                    break
                scored.append(score(rows))
                yield from writing.receipts()
                if is_last:
                    yield from writing.receipts(all_of_them=True)
                    writing.begin(pa.concat_tables(scored))
                    scored = []
            yield from writing.receipts(all_of_them=True)
            if scored:
                writing.begin(pa.concat_tables(scored))
                yield from writing.receipts(all_of_them=True)

    def _scorer(self, job: ScoreJob) -> Callable[[pa.Table], pa.Table]:
        self._engine = self._engine or open_engine(job.engine)
        return open_scorer(job, WORKER, self._engine)

    def compact(self, output: Folder, shard: int, *, is_complete: bool, stop: StopRequest) -> None:
        compact_shard(output, shard, is_complete=is_complete)

    def wait(self, stop: StopRequest) -> None:
        """Returns at once: nothing goes on in the background."""


class _Writing:
    """Parts that a thread writes."""

    def __init__(self, write: RowWriter, thread: ThreadPoolExecutor) -> None:
        self.write = write
        self.thread = thread
        self._begun: deque[Future[list[Receipt]]] = deque()

    def begin(self, rows: pa.Table) -> None:
        self._begun.append(self.thread.submit(self.write, rows))

    def receipts(self, *, all_of_them: bool = False) -> Iterator[Receipt]:
        """Of what is written; or of all that was begun, as it is written. Raises what writing raised."""
        while self._begun and (all_of_them or self._begun[0].done()):
            yield from self._begun.popleft().result()


def _decoded(units: Sequence[Unit], decode: RowDecoder, rows_per_chunk: int) -> Iterator[tuple[pa.Table, bool]]:
    """Rows with pixels, and whether they are the last ones of their unit."""
    for unit in units:
        num_left = len(unit.offsets)
        for rows in decode(unit.shard, unit.offsets, unit.attempt, rows_per_chunk):
            num_left -= len(rows)
            yield rows, num_left == 0


def _rows_per_chunk(job: ScoreJob) -> int:
    return (DESCRIBED_ROWS_PER_CHUNK if job.texts else ROWS_PER_CHUNK)[job.engine.device]


def _device(config: ScoreConfig) -> Device:
    if config.num_gpus:
        return own_device("cuda", option=f"--num-gpus {config.num_gpus:g}")
    if config.num_gpus == 0 or (config.engine == "fake" and config.device == "auto"):
        return "cpu"
    return own_device(config.device)
