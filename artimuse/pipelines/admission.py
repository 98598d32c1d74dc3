"""Admission of units to a running graph: it can be closed, and it knows how many rows have been admitted."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import ray

from artimuse.runs.cluster import on_this_node

# How old a worker's knowledge may be: asking costs a millisecond.
ASK_EVERY_S = 1.0

UnitKey = tuple[int, int]


@ray.remote(num_cpus=0)
class Admission:
    """Counts the rows that workers have begun; one per graph.

    A unit that Ray runs again stays admitted, so that nothing is counted twice.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.rows_by_unit: dict[UnitKey, int] = {}

    def admit(self, unit: UnitKey, num_rows: int) -> bool:
        """Whether a worker may begin a unit."""
        if self.is_closed and unit not in self.rows_by_unit:
            return False
        self.rows_by_unit.setdefault(unit, num_rows)
        return True

    def leave_early(self, unit: UnitKey, num_rows: int) -> None:
        """A worker has stopped inside a unit, after so many rows."""
        self.rows_by_unit[unit] = num_rows

    def is_open(self) -> bool:
        return not self.is_closed

    def close(self) -> int:
        """Returns the number of rows that workers have begun: they have come out of the graph, or will."""
        self.is_closed = True
        return sum(self.rows_by_unit.values())


AdmissionHandle = Any  # Ray's handle of an Admission actor


def make_admission() -> AdmissionHandle:
    return Admission.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]  # Ray adds it


class WorkerAdmission:
    """A worker's side of it."""

    def __init__(self, admission: AdmissionHandle) -> None:
        self.admission = admission
        self._asked_at = 0.0

    def admitted(self, unit: UnitKey, num_rows: int, chunks: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The chunks of a unit: none if admission is closed, fewer if it closes meanwhile."""
        if not ray.get(self.admission.admit.remote(unit, num_rows)):
            return
        num_admitted = 0
        for chunk in chunks:
            yield chunk
            num_admitted += len(chunk)
            if num_admitted < num_rows and self._is_closed():
                ray.get(self.admission.leave_early.remote(unit, num_admitted))
                return

    def _is_closed(self) -> bool:
        if time.monotonic() - self._asked_at < ASK_EVERY_S:
            return False
        self._asked_at = time.monotonic()
        return not ray.get(self.admission.is_open.remote())
