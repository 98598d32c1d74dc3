"""Which examples a step is made of. A step's number says it all: there is no state to save or to lose."""

# E examples, G groups
from functools import lru_cache

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class Sampler:
    """Every epoch goes through all examples once, in an order of its own; its last step may be smaller.

    Within a step the longest come first: neighbours go through the network together, filled up to the longest of them,
    and workers take neighbouring micro-batches at the same time. The mean over a step is the same in any order.
    """

    def __init__(
        self, lengths_E: IntArray, batch_size: int, num_epochs: int, seed: int, *, starts_G: IntArray | None = None
    ) -> None:
        """`lengths_E` are in tokens. `starts_G` are the examples that groups begin with, which stay together; without
        them every example is on its own.
        """
        self.num_examples = len(lengths_E)
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.seed = seed
        self._starts_G = np.arange(self.num_examples) if starts_G is None else starts_G
        self._sizes_G = np.diff(self._starts_G, append=self.num_examples)
        self._lengths_of_groups_E = np.repeat(np.add.reduceat(lengths_E, self._starts_G), self._sizes_G)
        # The workers load ahead, into the next epoch before this one is over.
        self._permutation = lru_cache(maxsize=2)(self._permuted)

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
        examples = self._permutation(epoch)[start : start + self.batch_size]
        longest_first: IntArray = examples[np.argsort(-self._lengths_of_groups_E[examples], kind="stable")]
        return longest_first

    def _permuted(self, epoch: int) -> IntArray:
        groups_G = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self._starts_G))
        sizes_G = self._sizes_G[groups_G]
        firsts_G = np.cumsum(sizes_G) - sizes_G
        order: IntArray = np.arange(self.num_examples) + np.repeat(self._starts_G[groups_G] - firsts_G, sizes_G)
        return order


def micro_batches(examples: IntArray, size: int, *, rank: int, world_size: int) -> list[IntArray]:
    """This worker's part of a step, in pieces for the network; as many for each worker, the last perhaps empty.

    The same pieces are made for any number of workers, so that nothing that happens within one depends on it.
    """
    pieces = [examples[start : start + size] for start in range(0, len(examples), size)]
    own = pieces[rank::world_size]
    return own + [examples[:0]] * (-(-len(pieces) // world_size) - len(own))
