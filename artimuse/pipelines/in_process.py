"""The work of a scoring run in this process, without Ray: for small inputs, notebooks and tests (`--workers 0`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.score import ScoreConfig
from artimuse.images.decode import own_pixel_limit
from artimuse.io.folder import Folder
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.parity import ParityCertificate, certify_run
from artimuse.pipelines.record import ModelFacts
from artimuse.pipelines.rows import Receipt, RowDecoder, RowWriter, ScoreJob, open_scorer
from artimuse.runs.own_device import own_device
from artimuse.runs.signals import StopRequest
from artimuse.table.compaction import compact_shard

# Rows decoded before they are scored: 19 MB of pixels, and how long a stop request may have to wait.
ROWS_PER_CHUNK = 32
WORKER = "this process"


class InProcess:
    """Implements `backend.Backend`."""

    num_workers = 1

    def __init__(self) -> None:
        self._scorers: dict[bool, Callable[[pa.Table], pa.Table]] = {}
        """The scorers by whether the rows exist. They are made once, although there are several calls of `receipts`."""

    def open(self, config: ScoreConfig, model: ModelFacts) -> ScoreConfig:
        device = _device(config)
        return replace(config, model=model.name, device=device, dtype=chosen_dtype(config.dtype, device))

    def check(self, job: ScoreJob, *, weights: str | None) -> None:
        """This process has found all of it already."""

    def certify(self, job: ScoreJob, *, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
        with own_pixel_limit():
            return certify_run(job, num_rows=num_rows, tolerance=tolerance)

    def receipts(
        self, job: ScoreJob, units: Sequence[Unit], *, rows_per_part: int, stop: StopRequest
    ) -> Iterator[Receipt]:
        with own_pixel_limit(), RowDecoder(job) as decode:
            if job.rows_exist not in self._scorers:
                self._scorers[job.rows_exist] = open_scorer(job, WORKER)
            score, write = self._scorers[job.rows_exist], RowWriter(job)
            for unit in units:
                scored = []
                for rows in decode(unit.shard, unit.offsets, unit.attempt, ROWS_PER_CHUNK):
                    scored.append(score(rows))
                    if stop.is_set:
                        break
                yield from write(pa.concat_tables(scored))
                if stop.is_set:
                    return

    def compact(self, output: Folder, shard: int, *, is_complete: bool, stop: StopRequest) -> None:
        compact_shard(output, shard, is_complete=is_complete)

    def wait(self, stop: StopRequest) -> None:
        """Returns at once: nothing goes on in the background."""


def _device(config: ScoreConfig) -> Device:
    if config.engine == "fake" or config.num_gpus == 0:
        return "cpu"
    return own_device("cuda" if config.num_gpus and config.device != "cpu" else config.device)
