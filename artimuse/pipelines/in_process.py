"""The work of a scoring run in this process, without Ray: for small inputs, notebooks and tests (`--workers 0`)."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import pyarrow as pa

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.score import ScoreConfig
from artimuse.engines import open_engine
from artimuse.images.decode import own_pixel_limit
from artimuse.interfaces import Engine
from artimuse.io.folder import Folder
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.parity import ParityCertificate, certify_run
from artimuse.pipelines.record import ModelFacts
from artimuse.pipelines.rows import Receipt, RowDecoder, RowWriter, ScoreJob, open_scorer
from artimuse.runs.own_device import own_device
from artimuse.runs.signals import StopRequest
from artimuse.table.compaction import compact_shard

# Rows decoded before they are scored: 19 MB of pixels, and how long a stop request may have to wait. Texts take longer.
ROWS_PER_CHUNK = 32
DESCRIBED_ROWS_PER_CHUNK = 8
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
        with own_pixel_limit(), RowDecoder(job) as decode:
            score, write = self._scorer(job), RowWriter(job)
            rows_per_chunk = DESCRIBED_ROWS_PER_CHUNK if job.texts else ROWS_PER_CHUNK
            for unit in units:
                scored = []
                for rows in decode(unit.shard, unit.offsets, unit.attempt, rows_per_chunk):
                    if stop.is_set:
                        break
                    scored.append(score(rows))
                if scored:
                    yield from write(pa.concat_tables(scored))
                if stop.is_set:
                    return

    def _scorer(self, job: ScoreJob) -> Callable[[pa.Table], pa.Table]:
        self._engine = self._engine or open_engine(job.engine)
        return open_scorer(job, WORKER, self._engine)

    def compact(self, output: Folder, shard: int, *, is_complete: bool, stop: StopRequest) -> None:
        compact_shard(output, shard, is_complete=is_complete)

    def wait(self, stop: StopRequest) -> None:
        """Returns at once: nothing goes on in the background."""


def _device(config: ScoreConfig) -> Device:
    if config.num_gpus:
        return own_device("cuda", option=f"--num-gpus {config.num_gpus:g}")
    if config.num_gpus == 0 or (config.engine == "fake" and config.device == "auto"):
        return "cpu"
    return own_device(config.device)
