"""Where the work of a scoring run is done: on a Ray cluster (`on_ray.py`), or in this process (`in_process.py`)."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from artimuse.configs.score import ScoreConfig
from artimuse.io.folder import Folder
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.parity import ParityCertificate
from artimuse.pipelines.record import ModelFacts
from artimuse.pipelines.rows import Receipt, ScoreJob
from artimuse.runs.signals import StopRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How the rows of a run are cut. Other values than these are for tests."""

    rows_per_shard: int = 50_000
    rows_per_group: int = 1024
    """The size of a plan shard's row groups, which are read one by one."""
    units_per_graph: int = 2_000
    """Ray's driver keeps 10-14 KB per unit while a graph lives (Ray 2.60), and a new graph loads the model again."""
    units_per_worker_and_graph: int = 64
    """A graph has so many units per worker, if that is more."""


SIZES = Sizes()


class Backend(Protocol):
    """Made by a run, which calls `open` first."""

    @property
    def num_workers(self) -> int:
        """The most workers that are at work at a time."""
        ...

    def open(self, config: ScoreConfig, model: ModelFacts) -> ScoreConfig:
        """Makes the workers ready; returns the configuration with nothing left to the machine that it runs on.

        Device and precision are chosen, and the model is pinned. Raises ClusterProblem.
        """
        ...

    def check(self, job: ScoreJob, *, weights: str | None) -> None:
        """Raises ClusterProblem if not every node sees INPUT, OUTPUT and a model with these weights."""
        ...

    def certify(self, job: ScoreJob, *, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
        """Calls `parity.certify_run` where workers run."""
        ...

    def receipts(
        self, job: ScoreJob, units: Sequence[Unit], *, rows_per_part: int, stop: StopRequest
    ) -> Generator[Receipt, None, None]:
        """Does the work, and yields a receipt for every part as it is written.

        After a stop request only of what is in flight, as long as its grace lasts. Raises the ArtiMuseError of the
        worker that failed, if that is why the work ended.
        """
        ...

    def compact(self, output: Folder, shard: int, *, is_complete: bool, stop: StopRequest) -> None:
        """Compacts a shard, or begins to. Raises what an earlier compaction raised."""
        ...

    def wait(self, stop: StopRequest) -> None:
        """Waits for the compactions that were begun, as long as the grace of a stop request lasts."""
        ...
