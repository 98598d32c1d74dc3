"""Pairs of a better and a worse image of the same prompt, from the rows in the relation `kept`."""

import duckdb

from artimuse.configs.select import SelectConfig
from artimuse.curation.select.steps import its

MOST_CANDIDATES = 64
"""So many of the best and of the worst images of a prompt are paired: all pairs of a thousand images are half a
million."""
NOT_PAIRED = "in_no_pair"
"""The reason of images that come into question and are in no pair."""
SIDE_COLUMNS = (
    "table_name",
    "row_number",
    "image_id",
    "uri",
    "score",
    "score_std",
    "sha256",
    "width",
    "height",
)
"""What a pair says of its winner and of its loser."""


def make_pairs(connection: duckdb.DuckDBPyConnection, column: str, config: SelectConfig) -> tuple[int, int]:
    """Makes the relation `pairs`; returns the number of ties, and of pairs that --pairs-per-prompt has left out.

    Ties are pairs closer than the margin.

    A pair has `prompt`, `margin` in points, `margin_std` in standard deviations of the difference, and the numbers of
    its two images. `kept` has the columns `score_std` and the one whose values are paired.
    """
    least, unit = config.least_margin
    measure = "margin_std" if unit == "std" else "margin"
    connection.execute(f"CREATE TEMP TABLE candidate_pairs AS {_candidates(column)}")
    # A pair of equal scores has no winner, whatever the margin.
    is_pair = f"margin > 0 AND {measure} >= {least!r}"
    [(num_ties, num_found)] = connection.execute(
        f"SELECT count(*) FILTER (NOT ({is_pair})), count(*) FILTER ({is_pair}) FROM candidate_pairs"
    ).fetchall()
    connection.execute(f"""
        CREATE TEMP TABLE pairs AS SELECT * EXCLUDE (std_of_margin, winner_place, loser_place)
        FROM candidate_pairs WHERE {is_pair}
        QUALIFY row_number() OVER (
            PARTITION BY prompt ORDER BY margin DESC, winner_place, loser_place
        ) <= {config.pairs_per_prompt}
    """)
    connection.execute("DROP TABLE candidate_pairs")
    _drop_others(connection)
    [(num_pairs,)] = connection.execute("SELECT count(*) FROM pairs").fetchall()
    return int(num_ties), int(num_found - num_pairs)


def _drop_others(connection: duckdb.DuckDBPyConnection) -> None:
    """Leaves in `kept` the images that are in a pair."""
    connection.execute("""
        CREATE TEMP TABLE paired AS
        SELECT winner_table_name AS table_name, winner_row_number AS row_number FROM pairs
        UNION SELECT loser_table_name, loser_row_number FROM pairs
    """)
    connection.execute(f"""
        INSERT INTO left_out SELECT table_name, row_number, '{NOT_PAIRED}', NULL, NULL
        FROM kept ANTI JOIN paired USING (table_name, row_number)
    """)
    connection.execute("CREATE OR REPLACE TEMP TABLE kept AS SELECT * FROM paired")


def _candidates(column: str) -> str:
    """All pairs of the images at either end of a prompt; the first one has the higher score, or comes first."""
    name = f"nullif({its(column)}::VARCHAR, '')"
    std = its("score_std")
    return f"""
        WITH ranked AS (
            SELECT table_name, row_number, score, {std} AS std, {name} AS prompt,
                row_number() OVER best AS place, count(*) OVER (PARTITION BY {name}) AS num_images
            FROM kept WHERE {name} IS NOT NULL
            WINDOW best AS (PARTITION BY {name} ORDER BY score DESC, table_name, row_number)
        ), ends AS (
            SELECT * FROM ranked
            WHERE num_images > 1 AND (place <= {MOST_CANDIDATES} OR place > num_images - {MOST_CANDIDATES})
        )
        SELECT winner.prompt AS prompt,
            winner.score::DOUBLE - loser.score AS margin,
            sqrt(winner.std::DOUBLE ** 2 + loser.std::DOUBLE ** 2) AS std_of_margin,
            coalesce(margin / nullif(std_of_margin, 0), 'infinity'::DOUBLE) AS margin_std,
            winner.table_name AS winner_table_name, winner.row_number AS winner_row_number,
            loser.table_name AS loser_table_name, loser.row_number AS loser_row_number,
            winner.place AS winner_place, loser.place AS loser_place
        FROM ends AS winner JOIN ends AS loser ON winner.prompt = loser.prompt AND winner.place < loser.place
    """
