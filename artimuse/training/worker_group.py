"""The workers of a run as each of them sees them: what they agree on, and what they tell the driver."""

from typing import Any, TypeVar

import torch
from torch import distributed

from artimuse.training.status import Reporter

Thing = TypeVar("Thing")


class WorkerGroup:
    """All methods but `tell` are called by all workers together."""

    def __init__(self, reporter: Reporter, device: torch.device) -> None:
        self.reporter = reporter
        self.device = device
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def all_sum(self, *values: float) -> list[float]:
        return self._all_reduce(values, distributed.ReduceOp.SUM)

    def all_max(self, value: float) -> float:
        return self._all_reduce([value], distributed.ReduceOp.MAX)[0]

    def all_gather(self, own: list[Thing]) -> list[Thing]:
        """What all have, in the order of the workers."""
        gathered: list[Any] = [None] * self.size
        distributed.all_gather_object(gathered, own)
        return [thing for things in gathered for thing in things]

    def broadcast(self, own: Thing) -> Thing:
        """What the first worker has."""
        shared = [own]
        distributed.broadcast_object_list(shared, src=0)
        return shared[0]

    def tell(self, **changes: Any) -> bool:
        """The first worker changes the status; returns whether it found that it is to stop."""
        return self.is_first and self.reporter.update(**changes)

    def _all_reduce(self, values: Any, how: Any) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor, how)
        found: list[float] = tensor.tolist()
        return found
