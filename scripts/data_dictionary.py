"""Writes docs/columns.md from the schemas; `tests/test_docs.py` proves that it is up to date."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from artimuse.curation.materialize.units import PART_SCHEMA
from artimuse.curation.select.writing import DROPPED, pairs_schema
from artimuse.curation.tables import TABLE_NAME_FIELD
from artimuse.table.dictionary import data_dictionary
from artimuse.table.schema import METADATA_FIELDS, score_schema

PAGE = Path(__file__).parents[1] / "docs" / "columns.md"
SCORES = score_schema(np.zeros(1, np.float32), pa.schema([]))
SECTIONS = {
    "The score table": SCORES,
    "With --image-metadata": pa.schema(METADATA_FIELDS),
    "Selections: before the columns of the score table": pa.schema([TABLE_NAME_FIELD]),
    "Selections: rows that were dropped": DROPPED,
    "Pairs": pairs_schema(pa.unify_schemas([pa.schema([TABLE_NAME_FIELD]), SCORES])),
    "What `artimuse materialize` has copied": PART_SCHEMA,
}


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Columns",
        "",
        "What every column means. The same words are in the metadata of the Parquet files, under `description`,",
        "`range` and `direction`. This page is written by `scripts/data_dictionary.py`.",
    ]
    for heading, schema in SECTIONS.items():
        lines += ["", f"## {heading}", "", "| column | type | range | better | meaning |", "|---|---|---|---|---|"]
        for column in data_dictionary(schema):
            cells = (f"`{column.name}`", column.kind, column.range, column.direction, column.meaning)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
