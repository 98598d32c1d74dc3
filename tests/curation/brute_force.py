"""The groups of near-duplicates as they are defined: all pairs are compared."""

# N hashes
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_ROWS_AT_A_TIME = 1_000


def groups_by_brute_force(hashes_N: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Index of the first hash of each one's group."""
    if not len(hashes_N):
        return np.zeros(0, dtype=np.int64)
    rows, columns = [], []
    for begin in range(0, len(hashes_N), _ROWS_AT_A_TIME):
        is_close = np.bitwise_count(hashes_N[begin : begin + _ROWS_AT_A_TIME, None] ^ hashes_N) <= max_distance
        row, column = np.nonzero(is_close)
        rows.append(row + begin)
        columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = csr_array((np.ones(len(row), dtype=bool), (row, column)), shape=(len(hashes_N), len(hashes_N)))
    _, labels_N = connected_components(graph, directed=False)
    return np.unique(labels_N, return_index=True)[1][labels_N]
