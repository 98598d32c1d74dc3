"""Which rows of two score tables belong together, found in DuckDB: memory stays bounded, the rest goes to disk.

The tables are the views `rows_0` and `rows_1` of `tables.opened`, here called A and B. A unit is what is paired: a
value of the key, such as an image or a prompt. Its score on a side is the mean of its images there. Values are compared
as text, by their 128-bit MD5, which takes the same room for each.
"""

from dataclasses import dataclass

import duckdb

from artimuse.curation.tables import columns_of, identifier, own_column
from artimuse.errors import BadInput

SIDES = ("a", "b")
IMAGE_KEY = "sha256"
PROMPT_COLUMNS = ("prompt", "meta_prompt")
MICRO = 1_000_000
"""Differences are whole millionths of a point, whose sums do not depend on the order of the rows."""

Columns = tuple[str, str]
"""A column of A, and the one of B that is compared with it."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What is paired, and how many units there are. The relation `units` has them all, `paired` those of both sides."""

    columns: Columns
    num_pairs: int
    """Units with a score on both sides."""
    num_only: tuple[int, int]
    """Units that only A has, and only B."""
    num_unscored: int
    """Units of both tables that failed in at least one."""
    num_images: tuple[int, int]
    """Scored images of the pairs."""

    @property
    def name(self) -> str:
        first, second = self.columns
        return first if first == second else f"{first} of A and {second} of B"

    @property
    def noun(self) -> str:
        """What a unit is, in the plural."""
        if self.columns[0] in (IMAGE_KEY, "image_id"):
            return "images"
        return "prompts" if self.columns[0] in PROMPT_COLUMNS else f"values of {self.columns[0]}"


def prompt_column(connection: duckdb.DuckDBPyConnection, side: int) -> str | None:
    """The column of a side that has prompts, if there is one."""
    columns = columns_of(connection, f"rows_{side}")
    return next((name for name in PROMPT_COLUMNS if name in columns), None)


def pair_by(connection: duckdb.DuckDBPyConnection, column: str) -> Pairing:
    """Pairs by the column of --by. Raises BadInput if a table lacks it, or fewer than two units are in both."""
    name = own_column(connection, column, "--by")
    for side, letter in enumerate("AB"):
        if name.lower() not in map(str.lower, columns_of(connection, f"rows_{side}")):
            raise BadInput(f"--by {column}: table {letter} has no such column, the other one has")
    pairing = _make_units(connection, (name, name))
    if pairing.num_pairs < 2:
        values = "1 value" if pairing.num_pairs else "0 values"
        raise BadInput(
            f"--by {column}: scored images of both tables have {values} in common; a comparison needs two or more"
        )
    return pairing


def pair_what_matches(connection: duckdb.DuckDBPyConnection, num_scored: tuple[int, int]) -> Pairing | None:
    """Pairs the same files, else the same prompts; None if neither fits.

    It fits if at least half of the scored images of one of the tables are paired: a few black pictures that two
    generators have in common are not what is to be compared.
    """
    prompts = prompt_column(connection, 0), prompt_column(connection, 1)
    for columns in ((IMAGE_KEY, IMAGE_KEY), prompts):
        if columns[0] is None or columns[1] is None:
            continue
        pairing = _make_units(connection, (columns[0], columns[1]))
        shares = [paired / max(scored, 1) for paired, scored in zip(pairing.num_images, num_scored)]
        if pairing.num_pairs >= 2 and max(shares) >= 0.5:
            return pairing
    return None


def make_images(connection: duckdb.DuckDBPyConnection) -> None:
    """The relations `images_a` and `images_b`: every scored image, a unit by itself. Without pairs."""
    for side, letter in enumerate(SIDES):
        prompt = prompt_column(connection, side)
        cluster = "NULL" if prompt is None else digest(prompt)
        connection.execute(f"""
            CREATE TEMP VIEW images_{letter} AS
            SELECT {digest("image_id")} AS unit, coalesce({cluster}, unit) AS cluster,
                round({MICRO} * score::DOUBLE)::BIGINT AS value
            FROM rows_{side} WHERE score IS NOT NULL
        """)


def _make_units(connection: duckdb.DuckDBPyConnection, columns: Columns) -> Pairing:
    """Makes `units` and `paired`. Units of one prompt are a cluster; any other unit is one by itself."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE units AS
        SELECT unit,
            CASE WHEN min(prompt) = max(prompt) THEN min(prompt) ELSE unit END AS cluster,
            avg(score) FILTER (side = 0) AS score_a,
            avg(score) FILTER (side = 1) AS score_b,
            count(score) FILTER (side = 0) AS num_a,
            count(score) FILTER (side = 1) AS num_b,
            min(row_number) FILTER (side = 0 AND score IS NOT NULL) AS row_a,
            min(row_number) FILTER (side = 1 AND score IS NOT NULL) AS row_b,
            bool_or(side = 0) AS is_in_a,
            bool_or(side = 1) AS is_in_b,
            round({MICRO} * (score_b - score_a))::BIGINT AS value
        FROM ({" UNION ALL ".join(_side(connection, side, columns) for side in range(2))})
        WHERE unit IS NOT NULL GROUP BY unit
    """)
    connection.execute("CREATE OR REPLACE TEMP VIEW paired AS SELECT * FROM units WHERE value IS NOT NULL")
    [counts] = connection.execute("""
        SELECT count(value), count(*) FILTER (NOT is_in_b), count(*) FILTER (NOT is_in_a),
            count(*) FILTER (is_in_a AND is_in_b AND value IS NULL),
            coalesce(sum(num_a) FILTER (value IS NOT NULL), 0)::BIGINT,
            coalesce(sum(num_b) FILTER (value IS NOT NULL), 0)::BIGINT
        FROM units
    """).fetchall()
    num_pairs, only_a, only_b, num_unscored, images_a, images_b = counts
    return Pairing(columns, num_pairs, (only_a, only_b), num_unscored, (images_a, images_b))


def _side(connection: duckdb.DuckDBPyConnection, side: int, columns: Columns) -> str:
    prompt = prompt_column(connection, side)
    # A prompt that is the key is the unit, which is a cluster already.
    cluster = "NULL" if prompt is None or prompt == columns[side] else digest(prompt)
    return (
        f"SELECT {side} AS side, row_number, score::DOUBLE AS score, {digest(columns[side])} AS unit,"
        f" {cluster}::UHUGEINT AS prompt FROM rows_{side}"
    )


def digest(column: str) -> str:
    """SQL for what tells the values of a column apart: a number, from the value as text.

    Null for an empty one, which says nothing.
    """
    return f"md5_number(nullif({identifier(column)}::VARCHAR, ''))"
