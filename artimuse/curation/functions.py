"""Functions of the score distribution for SQL: each looks at the columns of its own row.

    score_quantile(q)         the score below which the model puts a probability of q, points
    score_probability(low)    the probability that the score is `low` points or more
    score_lower(z)            score - z * score_std, points

All are null where there is no score.
"""

from collections.abc import Callable
from itertools import pairwise

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import FunctionNullHandling, PythonUDFType

Floats = npt.NDArray[np.float64]
# N rows, K score values
OfDistribution = Callable[[Floats, Floats, Floats], Floats]

# The columns come first; `with_columns` writes them into the user's SQL.
_COLUMNS = {
    "score_quantile": "score_probs, score_values",
    "score_probability": "score_probs, score_values",
    "score_lower": "score, score_std",
}


def add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Lets SQL of this connection call them, with the columns written out."""
    for name, function in (("score_quantile", _quantile_N), ("score_probability", _probability_N)):
        connection.create_function(
            name,
            _over_rows(function),
            ["FLOAT[]", "FLOAT[]", "DOUBLE"],
            "DOUBLE",
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )
    connection.execute("CREATE MACRO score_lower(score, score_std, z) AS score - z * score_std")


def with_columns(sql: str) -> str:
    """The user's SQL with the columns written into calls of these functions. Texts and comments are left alone."""
    written = sql.encode()
    tokens = duckdb.tokenize(sql)  # with positions in bytes
    pieces, last = [], 0
    for (start, kind), (following, _) in pairwise(tokens):
        name = written[start:following].strip().lower().decode()
        if kind == duckdb.token_type.identifier and name in _COLUMNS and written[following : following + 1] == b"(":
            pieces += [written[last : following + 1], f"{_COLUMNS[name]}, ".encode()]
            last = following + 1
    return b"".join([*pieces, written[last:]]).decode()


def _over_rows(function: OfDistribution) -> Callable[[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray], pa.Array]:
    """The function for DuckDB, which hands over columns in which rows may be null."""

    def of_columns(probs: pa.ChunkedArray, values: pa.ChunkedArray, argument: pa.ChunkedArray) -> pa.Array:
        found_N = np.full(len(probs), np.nan)
        is_known_N = probs.is_valid().to_numpy() & values.is_valid().to_numpy() & argument.is_valid().to_numpy()
        argument_N = argument.to_numpy()
        for places, probs_NK, values_NK in _of_one_length(probs, values, is_known_N):
            found_N[places] = function(probs_NK, values_NK, argument_N[places])
        return pa.array(found_N, mask=np.isnan(found_N))

    return of_columns


def _of_one_length(
    probs: pa.ChunkedArray, values: pa.ChunkedArray, is_known_N: npt.NDArray[np.bool_]
) -> "list[tuple[npt.NDArray[np.int64], Floats, Floats]]":
    """Rows of several tables may have distributions over different numbers of values."""
    lengths_N = pc.fill_null(pc.list_value_length(probs), 0).to_numpy()
    found = []
    for length in np.unique(lengths_N[is_known_N]):
        places = np.flatnonzero(is_known_N & (lengths_N == length))
        probs_NK, values_NK = (
            column.take(pa.array(places)).combine_chunks().flatten().to_numpy().reshape(len(places), int(length))
            for column in (probs, values)
        )
        found.append((places, probs_NK.astype(np.float64), values_NK.astype(np.float64)))
    return found


def _quantile_N(probs_NK: Floats, values_NK: Floats, q_N: Floats) -> Floats:
    """The smallest value up to which the probability is q or more; values need not be in order."""
    if not ((q_N >= 0) & (q_N <= 1)).all():
        raise ValueError("score_quantile(q): q is a probability, from 0 to 1")
    order_NK = np.argsort(values_NK, axis=1, kind="stable")
    cumulative_NK = np.cumsum(np.take_along_axis(probs_NK, order_NK, axis=1), axis=1)
    # Probabilities of 16 bits add up to a little more or less than 1.
    is_reached_NK = cumulative_NK >= (q_N * cumulative_NK[:, -1])[:, None]
    places_N = np.take_along_axis(order_NK, is_reached_NK.argmax(axis=1)[:, None], axis=1)
    quantile_N: Floats = np.take_along_axis(values_NK, places_N, axis=1)[:, 0]
    return quantile_N


def _probability_N(probs_NK: Floats, values_NK: Floats, low_N: Floats) -> Floats:
    above_N: Floats = np.where(values_NK >= low_N[:, None], probs_NK, 0).sum(axis=1) / probs_NK.sum(axis=1)
    return above_N
