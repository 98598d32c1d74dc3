"""Which examples a step is made of. A step's number says it all: there is no state to save or to lose."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """Every epoch goes through all examples once, in an order of its own; its last step may be smaller."""

    num_examples: int
    batch_size: int
    num_epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_examples // self.batch_size)

    @property
    def num_steps(self) -> int:
        return self.num_epochs * self.steps_per_epoch

    def examples(self, step: int) -> IntArray:
        """Numbers of the examples of a step, which counts from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.batch_size
        return _permutation(self.num_examples, self.seed, epoch)[start : start + self.batch_size]


def micro_batches(examples: IntArray, size: int, *, rank: int, world_size: int) -> list[IntArray]:
    """This worker's part of a step, in pieces for the network; as many for each worker, the last perhaps empty.

    The same pieces are made for any number of workers, so that nothing that happens within one depends on it.
    """
    pieces = [examples[start : start + size] for start in range(0, len(examples), size)]
    own = pieces[rank::world_size]
    return own + [examples[:0]] * (-(-len(pieces) // world_size) - len(own))


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> IntArray:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)
