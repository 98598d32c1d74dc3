"""The way into a running graph: it can be closed, and it knows how many rows are inside."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# How old a worker's knowledge of the gate may be: asking costs a millisecond.
ASK_EVERY_S = 1.0

_Unit = tuple[int, int]


@ray.remote(num_cpus=0)
class Gate:
    """Counts the rows that workers have begun; one per graph.

    A unit that Ray runs again keeps its place, so that nothing is counted twice.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.rows_by_unit: dict[_Unit, int] = {}

    def enter(self, unit: _Unit, num_rows: int) -> bool:
        """Whether a worker may begin a unit."""
        if self.is_closed and unit not in self.rows_by_unit:
            return False
        self.rows_by_unit.setdefault(unit, num_rows)
        return True

    def leave_early(self, unit: _Unit, num_rows: int) -> None:
        """A worker has stopped inside a unit, after so many rows."""
        self.rows_by_unit[unit] = num_rows

    def is_open(self) -> bool:
        return not self.is_closed

    def close(self) -> int:
        """Returns the number of rows that workers have begun: they have come out of the graph, or will."""
        self.is_closed = True
        return sum(self.rows_by_unit.values())


GateHandle = Any  # Ray's handle of a Gate actor


def make_gate() -> GateHandle:
    """A gate on the driver's own node: the run can survive the loss of any other."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Gate.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]  # Ray's decorator adds it


class Passage:
    """A worker's side of the gate."""

    def __init__(self, gate: GateHandle) -> None:
        self.gate = gate
        self._asked_at = 0.0

    def through(self, unit: _Unit, num_rows: int, chunks: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The chunks of a unit, as far as the gate lets them: none if it is closed, fewer if it closes meanwhile."""
        if not ray.get(self.gate.enter.remote(unit, num_rows)):
            return
        num_passed = 0
        for chunk in chunks:
            yield chunk
            num_passed += len(chunk)
            if num_passed < num_rows and self._is_closed():
                ray.get(self.gate.leave_early.remote(unit, num_passed))
                return

    def _is_closed(self) -> bool:
        if time.monotonic() - self._asked_at < ASK_EVERY_S:
            return False
        self._asked_at = time.monotonic()
        return not ray.get(self.gate.is_open.remote())
