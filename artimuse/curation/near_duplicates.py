"""Groups of images whose perceptual hashes differ in few bits: exact, in bounded memory.

If two hashes differ in at most d bits and the bits are cut into m blocks, then at least m - d blocks are equal. So for
every choice of m - d blocks the hashes are sorted by these blocks, and those that agree there, a run, are compared.
"""

# N hashes, D distinct ones, M members: hashes that are looked at together, B bits of a hash in which they differ
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

MAX_DISTANCE = 16
"""Bits. Two unrelated hashes differ in 32 on average."""

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

# A longer run is compared as a matrix, one at a time; shorter ones all together, neighbour by neighbour.
_LONG_RUN = 128
# 8 MB of differing bits at a time.
_PAIRS_AT_A_TIME = 1 << 20
# More than this in one run are left to keys of its own.
_MAX_PAIRS = 50_000_000
# Enough to see whether a run falls together, before its pairs are counted.
_TRIAL_ROUNDS = 4
# Guesses of nanoseconds, which choose the keys: sorting a hash, comparing a pair of a short run and of a long one.
_SORT_NS, _SHORT_PAIR_NS, _LONG_PAIR_NS = 60, 10, 5
# At most, as a long run may be sorted by keys of its own, as may the long runs in it.
_LONG_RUN_MEMBER_NS = 100 * _SORT_NS
_MAX_KEYS = 5_000


def near_duplicates(hashes: Hashes, max_distance: int) -> Indices:
    """The group of each hash: two hashes that differ in at most `max_distance` bits are in one, as are their groups.

    Takes uint64 (N,), the column `phash` of the score table without nulls. Returns int64 (N,): the index of the first
    hash of the group, which for a hash without near-duplicates is its own. Memory grows with N, never with the number
    of pairs. The time grows a little faster than N at 6 bits, and steeply with the distance.
    Raises ValueError if `hashes` is no one-dimensional array of uint64, or `max_distance` is not within 0..16.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance is {max_distance}, it must be within 0..{MAX_DISTANCE} bits")
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise ValueError(f"hashes are {hashes.dtype} of shape {hashes.shape}, they must be uint64 of shape (N,)")
    if not len(hashes):
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(hashes)
    distinct_D, starts_D = _without_repeats(hashes[order])
    forest = _Forest(len(distinct_D))
    if max_distance:
        _Linker(distinct_D, max_distance, forest).link(np.arange(len(distinct_D)))
    roots_D = forest.roots(np.arange(len(distinct_D)))
    firsts_D = np.minimum.reduceat(order, starts_D)
    np.minimum.at(firsts_D, roots_D, firsts_D.copy())
    groups = np.empty(len(hashes), dtype=np.int64)
    groups[order] = np.repeat(firsts_D[roots_D], np.diff(starts_D, append=len(hashes)))
    return groups


def _without_repeats(in_order: Hashes) -> tuple[Hashes, Indices]:
    """The distinct hashes, and where each begins."""
    is_new = np.ones(len(in_order), dtype=bool)
    np.not_equal(in_order[1:], in_order[:-1], out=is_new[1:])
    starts_D = np.flatnonzero(is_new)
    return in_order[starts_D], starts_D


class _Forest:
    """Which hashes are known to be in one group; a group is a tree whose root is its smallest index."""

    def __init__(self, num_nodes: int) -> None:
        self.parents = np.arange(num_nodes)
        self.num_trees = num_nodes

    def roots(self, nodes: Indices) -> Indices:
        roots = self.parents[nodes]
        while not np.array_equal(above := self.parents[roots], roots):
            roots = above
        self.parents[nodes] = roots
        return roots

    def join(self, firsts: Indices, seconds: Indices) -> None:
        """Puts the groups of each two into one. The work grows with the number of pairs, not of nodes."""
        first_roots, second_roots = self.roots(firsts), self.roots(seconds)
        differ = first_roots != second_roots
        if not differ.any():
            return
        ends = np.stack([first_roots[differ], second_roots[differ]])
        roots, ends = np.unique(ends, return_inverse=True)
        graph = coo_matrix((np.ones(ends.shape[1], dtype=bool), tuple(ends)), shape=(len(roots), len(roots)))
        num_trees, trees = connected_components(graph, directed=False)
        lowest = np.empty(num_trees, dtype=np.int64)
        lowest[trees[::-1]] = roots[::-1]  # the last one written stays: the smallest
        self.parents[roots] = lowest[trees]
        self.num_trees -= len(roots) - num_trees


@dataclass(frozen=True, slots=True)
class _Linker:
    """Finds the pairs of close hashes and joins them in the forest."""

    distinct_D: Hashes
    max_distance: int
    forest: _Forest

    def link(self, members_M: Indices) -> None:
        """Joins all members that are close. Pairs of one group need no comparison, which bounds the work in clusters.

        A member that has been compared with all others is out; when those left are one group, all is done.
        """
        for num_rounds in range(len(members_M)):
            roots_M = self.forest.roots(members_M)
            others = np.flatnonzero(roots_M != _most_frequent(roots_M))
            if not len(others):
                return
            if num_rounds >= _TRIAL_ROUNDS and len(others) * len(members_M) > _MAX_PAIRS:
                self._link_by_keys(members_M)
                return
            num_rows = max(_PAIRS_AT_A_TIME // len(members_M), 1)
            chosen = others[:: len(others) // num_rows + 1]
            self._compare(members_M[chosen], members_M)
            members_M = np.delete(members_M, chosen)

    def _compare(self, rows: Indices, columns: Indices) -> None:
        differing = np.bitwise_count(self.distinct_D[rows, None] ^ self.distinct_D[columns])
        # NumPy is slow to find the few that are set in a matrix, and fast in a flat array.
        row, column = np.divmod(np.flatnonzero(differing <= self.max_distance), len(columns))
        self.forest.join(rows[row], columns[column])

    def _link_by_keys(self, members_M: Indices) -> None:
        bits_M, num_bits = _varying_bits(self.distinct_D[members_M])
        if num_bits <= self.max_distance:
            self.forest.join(members_M[:-1], members_M[1:])
            return
        for key in _best_keys(bits_M, num_bits, self.max_distance):
            in_order = _Runs.of(bits_M, key)
            is_short = in_order.continues(1)
            for start, end in in_order.long_runs():
                is_short[start:end] = False
                self.link(members_M[in_order.indices(slice(start, end))])
            self._link_short_runs(in_order, is_short, bits_M, members_M)
            if self.forest.num_trees == 1:
                return

    def _link_short_runs(
        self, in_order: "_Runs", is_short: NDArray[np.bool_], bits_M: Hashes, members_M: Indices
    ) -> None:
        """Compares each with the next of its run, each with the next but one, and so on."""
        for begin in range(0, len(is_short), _PAIRS_AT_A_TIME):
            places = begin + np.flatnonzero(is_short[begin : begin + _PAIRS_AT_A_TIME])
            step = 1
            while len(places):
                firsts, seconds = in_order.indices(places), in_order.indices(places + step)
                is_close = np.bitwise_count(bits_M[firsts] ^ bits_M[seconds]) <= self.max_distance
                self.forest.join(members_M[firsts[is_close]], members_M[seconds[is_close]])
                step += 1
                places = in_order.continuing(places, step)


_Block = tuple[int, int]
"""The first bit, and the one after the last."""
_Key = tuple[_Block, ...]


@dataclass(frozen=True, slots=True)
class _Runs:
    """Members sorted by a key. Those with equal keys, a run, lie side by side."""

    packed_M: Hashes
    """The key in the high bits, the index of the member in the low ones."""
    num_index_bits: int

    @classmethod
    def of(cls, bits_M: Hashes, key: _Key) -> "_Runs":
        num_index_bits = len(bits_M).bit_length()
        packed_M = np.zeros_like(bits_M)
        for begin in range(0, len(bits_M), 1 << 15):  # stays in the cache
            bits, packed = bits_M[begin : begin + (1 << 15)], packed_M[begin : begin + (1 << 15)]
            for first, end in key:
                packed <<= np.uint64(end - first)
                packed |= bits >> np.uint64(first) & np.uint64((1 << end - first) - 1)
            packed <<= np.uint64(num_index_bits)
            packed |= np.arange(begin, begin + len(bits), dtype=np.uint64)
        packed_M.sort()
        return cls(packed_M, num_index_bits)

    def indices(self, places: Indices | slice) -> Indices:
        return (self.packed_M[places] & self._index_mask).astype(np.int64)

    def continues(self, step: int) -> NDArray[np.bool_]:
        """Whether the member `step` places on is in the same run. The last `step` places are left out."""
        return (self.packed_M[step:] ^ self.packed_M[:-step]) <= self._index_mask

    def continuing(self, places: Indices, step: int) -> Indices:
        """Those of the places, which ascend, whose run continues `step` places on."""
        places = places[: np.searchsorted(places, len(self.packed_M) - step)]
        return places[(self.packed_M[places + step] ^ self.packed_M[places]) <= self._index_mask]

    def long_runs(self) -> Iterator[tuple[int, int]]:
        """Where runs of more than `_LONG_RUN` members begin and end."""
        inside = self.packed_M[:-_LONG_RUN][self.continues(_LONG_RUN)]
        firsts = np.unique(inside & ~self._index_mask)
        starts = np.searchsorted(self.packed_M, firsts)
        ends = np.searchsorted(self.packed_M, firsts | self._index_mask, side="right")
        return zip(starts.tolist(), ends.tolist())

    def cost_ns(self) -> float:
        """Of sorting and comparing, as a guide."""
        lengths = np.diff(np.flatnonzero(~self.continues(1)), prepend=-1, append=len(self.packed_M) - 1)
        others = (lengths - 1) / 2
        long_ns = np.minimum(others * _LONG_PAIR_NS, _LONG_RUN_MEMBER_NS)
        member_ns = np.where(lengths > _LONG_RUN, long_ns, others * _SHORT_PAIR_NS)
        return _SORT_NS * len(self.packed_M) + float(lengths @ member_ns)

    @property
    def _index_mask(self) -> np.uint64:
        return np.uint64((1 << self.num_index_bits) - 1)


def _most_frequent(numbers: Indices) -> np.int64:
    values, counts = np.unique(numbers, return_counts=True)
    return np.int64(values[counts.argmax()])


def _varying_bits(hashes_M: Hashes) -> tuple[Hashes, int]:
    """The bits that are not the same in all hashes, moved together, and their number B.

    Bits that are nearly constant tell little, so all blocks get their share: by steps of the golden ratio any few
    bits side by side are spread evenly from the most to the least telling.
    """
    ones = np.array([np.count_nonzero(hashes_M & np.uint64(1 << bit)) for bit in range(64)])
    evenness = np.minimum(ones, len(hashes_M) - ones)
    telling = np.argsort(-evenness, kind="stable")[: np.count_nonzero(evenness)]
    places = np.argsort(np.arange(len(telling)) * 0.6180339887 % 1)
    bits_M = np.zeros_like(hashes_M)
    for begin in range(0, len(bits_M), 1 << 15):  # stays in the cache
        hashes, bits = hashes_M[begin : begin + (1 << 15)], bits_M[begin : begin + (1 << 15)]
        for bit in telling[places]:
            bits <<= np.uint64(1)
            bits |= hashes >> np.uint64(bit) & np.uint64(1)
    return bits_M, len(telling)


def _best_keys(bits_M: Hashes, num_bits: int, max_distance: int) -> list[_Key]:
    """More blocks make more keys, but longer ones with shorter runs: measured on the first key of each number."""
    best: list[_Key] = []
    lowest_ns = np.inf
    for num_blocks in range(max_distance + 1, num_bits + 1):
        if comb(num_blocks, max_distance) > _MAX_KEYS:
            break
        edges = [block * num_bits // num_blocks for block in range(num_blocks + 1)]
        keys = list(combinations(pairwise(edges), num_blocks - max_distance))
        num_key_bits = max(sum(end - first for first, end in key) for key in keys)
        if num_key_bits + len(bits_M).bit_length() > 64:
            break
        cost_ns = len(keys) * _Runs.of(bits_M, keys[0]).cost_ns()
        if cost_ns >= lowest_ns:
            break
        best, lowest_ns = keys, cost_ns
    return best
