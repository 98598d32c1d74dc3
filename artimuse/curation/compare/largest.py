"""The pairs in which two score tables differ most, with what a person needs to look at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from artimuse.curation.compare.pairing import MICRO, Pairing, digest
from artimuse.curation.tables import identifier

NUM_SHOWN = 5
"""So many in either direction."""
MAX_CHARACTERS = 1000
"""Of a value and of names; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class PairSide:
    """One side of a pair."""

    score: float
    """Points: the mean of its images."""
    num_images: int
    image_id: str
    """Of the first of them."""
    uri: str
    """Of the first of them."""
    row_number: int
    """Of the first of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two scores of one unit."""

    value: str
    """What the two have in common, such as the prompt."""
    difference: float
    """Score of B minus score of A, points."""
    a: PairSide
    b: PairSide


def largest_differences(
    connection: duckdb.DuckDBPyConnection, pairing: Pairing, better: Literal["A", "B"]
) -> tuple[Pair, ...]:
    """The pairs in which that side is better by most, the largest difference first."""
    condition, order = ("value > 0", "value DESC") if better == "B" else ("value < 0", "value")
    found = connection.execute(f"""
        SELECT value, score_a, num_a, row_a, score_b, num_b, row_b FROM paired
        WHERE {condition} ORDER BY {order}, unit LIMIT {NUM_SHOWN}
    """).fetchall()
    names_a = _names(connection, 0, pairing.columns[0], [row[3] for row in found])
    names_b = _names(connection, 1, pairing.columns[1], [row[6] for row in found])
    pairs = []
    for value, score_a, num_a, row_a, score_b, num_b, row_b in found:
        a = PairSide(score_a, num_a, *names_a[row_a][1:], row_a)
        b = PairSide(score_b, num_b, *names_b[row_b][1:], row_b)
        pairs.append(Pair(names_a[row_a][0], value / MICRO, a, b))
    return tuple(pairs)


def images_of(
    connection: duckdb.DuckDBPyConnection, pairing: Pairing, side: int, pairs: Sequence[Pair], most: int
) -> dict[int, list[int]]:
    """Some scored images of one side of each pair: its row_number in A -> the first so many row_numbers of the side."""
    if not pairs:
        return {}
    listed = ", ".join(str(pair.a.row_number) for pair in pairs)
    found = connection.execute(f"""
        SELECT row_a, row_number
        FROM rows_{side} AS side JOIN (SELECT unit, row_a FROM paired WHERE row_a IN ({listed})) AS pair
        ON {digest(pairing.columns[side])} = pair.unit
        WHERE score IS NOT NULL QUALIFY row_number() OVER (PARTITION BY unit ORDER BY row_number) <= {most}
        ORDER BY row_number
    """).fetchall()
    images: dict[int, list[int]] = {}
    for row_a, row_number in found:
        images.setdefault(row_a, []).append(row_number)
    return images


def _names(
    connection: duckdb.DuckDBPyConnection, side: int, column: str, row_numbers: list[int]
) -> dict[int, tuple[str, str, str]]:
    """Row number -> value of the key, image_id, uri."""
    if not row_numbers:
        return {}
    texts = ", ".join(f"left({identifier(name)}::VARCHAR, {MAX_CHARACTERS})" for name in (column, "image_id", "uri"))
    found = connection.execute(
        f"SELECT row_number, {texts} FROM rows_{side} WHERE row_number IN ({', '.join(map(str, row_numbers))})"
    ).fetchall()
    return {row_number: (value, image_id, uri) for row_number, value, image_id, uri in found}
