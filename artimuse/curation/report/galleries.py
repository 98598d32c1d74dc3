"""Which images the page shows: the first ones of an order, or drawn by a seed, never more than a bounded number."""

import hashlib
from dataclasses import dataclass

import duckdb
import numpy as np

from artimuse.curation.near_duplicates import near_duplicates
from artimuse.curation.pages.galleries import Gallery
from artimuse.curation.tables import quoted

MOST_AT_AN_END = 12
"""Images of the best, of the worst and of the least sure; of few images a third each."""
NUM_BANDS = 10
BAND_POINTS = 100 // NUM_BANDS
NUM_PER_BAND = 8
NEAR_DISTANCE = 6
"""Bits by which the hashes of near-duplicates differ at most, as in `artimuse select`."""
MOST_HASHES = 100_000
"""Images among which near-duplicates are looked for, about."""
MOST_GROUPS, MOST_OF_A_GROUP = 6, 8
"""Groups of near-duplicates that are shown, and images of each."""

_BITS_32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Groups of images that look alike, the largest first."""

    num_searched: int
    """Images that were compared with each other."""
    num_groups: int
    num_in_groups: int
    galleries: tuple[Gallery, ...]


def ends(connection: duckdb.DuckDBPyConnection, num_shown: int) -> list[Gallery]:
    """The best, the worst and the least sure images of `shown`; of a single image there is no worst."""
    most = min(MOST_AT_AN_END, -(-num_shown // 3))
    orders = {"Best": "score DESC", "Worst": "score", "Least sure": "score_std DESC NULLS LAST"}
    found = []
    for title, order in orders.items():
        places = connection.execute(
            f"SELECT table_name, row_number FROM shown ORDER BY {order}, table_name, row_number LIMIT {most}"
        ).fetchall()
        found.append(Gallery(title, len(places), tuple(places)))
    return [gallery for gallery in found if gallery.places][: 1 if num_shown == 1 else None]


def bands(connection: duckdb.DuckDBPyConnection, seed: int) -> list[Gallery]:
    """Images of `shown` drawn from each band of the score, the highest band first."""
    number = _drawn(connection, seed)
    rows = connection.execute(f"""
        SELECT least(floor(score / {BAND_POINTS}), {NUM_BANDS - 1})::INTEGER AS band, count(*),
            min({{'drawn': {number}, 'table_name': table_name, 'row_number': row_number, 'score': score}},
                {NUM_PER_BAND})
        FROM shown GROUP BY band ORDER BY band DESC
    """).fetchall()
    return [
        Gallery(
            f"{band * BAND_POINTS} to {(band + 1) * BAND_POINTS}",
            count,
            tuple(
                (row["table_name"], row["row_number"])
                for row in sorted(drawn, key=lambda row: (-row["score"], row["drawn"]))
            ),
        )
        for band, count, drawn in rows
    ]


def find_near_duplicates(connection: duckdb.DuckDBPyConnection, seed: int, num_shown: int) -> NearDuplicates:
    """Groups among the images of `shown`, or among about MOST_HASHES of them that are drawn by the seed."""
    drawn = _drawn(connection, seed)
    is_drawn = "true" if num_shown <= MOST_HASHES else f"{drawn} < {2**32 * MOST_HASHES // num_shown}"
    rows = connection.sql(f"""
        SELECT table_name, row_number, score, phash FROM shown WHERE phash IS NOT NULL AND {is_drawn}
        ORDER BY table_name, row_number
    """).to_arrow_table()
    group_of_row = near_duplicates(rows["phash"].to_numpy().astype(np.uint64), NEAR_DISTANCE)
    sizes = np.bincount(group_of_row, minlength=1)
    largest = np.argsort(-sizes, kind="stable")[:MOST_GROUPS]
    galleries = []
    for group in largest[sizes[largest] > 1]:
        members = rows.take(np.flatnonzero(group_of_row == group)).sort_by([("score", "descending")])
        places = [(row["table_name"], row["row_number"]) for row in members.slice(0, MOST_OF_A_GROUP).to_pylist()]
        galleries.append(Gallery(f"{len(members):,} alike", len(members), tuple(places)))
    in_groups = sizes[sizes > 1]
    return NearDuplicates(len(rows), len(in_groups), int(in_groups.sum()), tuple(galleries))


def _drawn(connection: duckdb.DuckDBPyConnection, seed: int) -> str:
    """A number of 32 bits in SQL, of each image in `shown`: those with the smallest ones are drawn.

    Arithmetic alone: DuckDB's own hash may be another one in another version, and md5 of 10 million images takes 14 s.
    Source: lowbias32 of https://github.com/skeeto/hash-prospector.
    """
    names = connection.execute("SELECT DISTINCT table_name FROM shown").fetchall()
    salts = " ".join(f"WHEN table_name = {quoted(name)} THEN {_salt(seed, name)}" for (name,) in names)
    mixed = f"xor((row_number & {_BITS_32})::UBIGINT, (CASE WHEN false THEN 0 {salts} END)::UBIGINT)"
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed = f"((xor({mixed}, {mixed} >> {shift}) * {factor}::UBIGINT) & {_BITS_32})"
    return f"xor({mixed}, {mixed} >> 16)"


def _salt(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "little")
