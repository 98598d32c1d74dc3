"""The workers of a run as each of them sees them: what they agree on, and what they tell the driver."""

from typing import Any, TypeVar

import ray
import torch
from torch import distributed

Thing = TypeVar("Thing")


class Crew:
    """All methods but `tell` are called by all workers together."""

    def __init__(self, board: Any, device: torch.device) -> None:
        """`board` is the actor of `board.py`."""
        self.board = board
        self.device = device
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        return self._reduced(values, distributed.ReduceOp.SUM)

    def largest(self, value: float) -> float:
        return self._reduced([value], distributed.ReduceOp.MAX)[0]

    def gather(self, own: list[Thing]) -> list[Thing]:
        """What all have, in the order of the workers."""
        gathered: list[Any] = [None] * self.size
        distributed.all_gather_object(gathered, own)
        return [thing for things in gathered for thing in things]

    def as_first(self, own: Thing) -> Thing:
        """What the first worker has."""
        shared = [own]
        distributed.broadcast_object_list(shared, src=0)
        return shared[0]

    def tell(self, **changes: Any) -> bool:
        """The first worker writes to the board; returns whether it found that it is to stop."""
        return self.is_first and bool(ray.get(self.board.update.remote(**changes)))

    def _reduced(self, values: Any, how: Any) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor, how)
        found: list[float] = tensor.tolist()
        return found
