"""Score tables of small pictures and selections of them, for tests of what is done with selections."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artimuse import __version__
from artimuse.cli import main
from artimuse.curation.selection import SelectionFacts
from artimuse.io.folder import Folder
from artimuse.table.parts import PARTS, parts_by_shard, read_part

ROWS_PER_GROUP = 7


def scored(location: str, table: Path | str, *options: str) -> str:
    """The table of these images, scored by their brightness."""
    assert main(["score", location, str(table), "--engine", "fake", "--workers", "0", *options]) in (0, 3)
    return str(table)


def rows_of_table(table: str) -> pa.Table:
    output = Folder.at(table)
    names = [name for parts in parts_by_shard(output).values() for name in parts]
    return pa.concat_tables([read_part(output, PARTS, name) for name in names]).sort_by("row_number")


def selection_of(tables: Mapping[str, str], path: Path, **columns: Sequence[Any]) -> str:
    """All rows that have a score, with columns added or replaced."""
    parts = []
    for name, table in tables.items():
        rows = rows_of_table(table)
        parts.append(rows.add_column(0, "table_name", pa.array([name] * len(rows), pa.string())))
    rows = pa.concat_tables(parts, promote_options="permissive")
    num_rows = len(rows)
    rows = rows.filter(pc.equal(rows["status"], "ok"))
    for name, values in columns.items():
        if name in rows.column_names:
            rows = rows.drop_columns(name)
        rows = rows.append_column(name, pa.array(values))
    facts = _facts(tables, kind="rows", num_rows=num_rows, num_kept=len(rows))
    pq.write_table(rows.replace_schema_metadata(facts.as_metadata()), path, row_group_size=ROWS_PER_GROUP)
    return str(path)


def pairs_of(tables: Mapping[str, str], path: Path, pairs: Sequence[tuple[int, int, str | None]]) -> str:
    """Pairs of rows by their places among all that have a score: winner, loser, prompt."""
    rows = pq.read_table(selection_of(tables, path))
    columns: dict[str, pa.Array] = {
        "pair_number": pa.array(range(len(pairs)), pa.int64()),
        "prompt": pa.array([prompt for *_, prompt in pairs], pa.string()),
        "margin": pa.array([1.0] * len(pairs)),
        "margin_std": pa.array([1.0] * len(pairs)),
    }
    names = ("table_name", "row_number", "image_id", "uri", "score", "score_std", "sha256", "width", "height")
    for side, prefix in enumerate(("winner_", "loser_")):
        chosen = rows.take([pair[side] for pair in pairs])
        columns |= {prefix + name: chosen[name].combine_chunks() for name in names}
    facts = _facts(tables, kind="pairs", num_rows=len(rows), num_kept=len(rows), num_pairs=len(pairs))
    pq.write_table(pa.table(columns).replace_schema_metadata(facts.as_metadata()), path, row_group_size=ROWS_PER_GROUP)
    return str(path)


def _facts(tables: Mapping[str, str], **counts: Any) -> SelectionFacts:
    locations = {name: Folder.at(table).url() for name, table in tables.items()}
    return SelectionFacts(artimuse=__version__, tables=locations, settings={}, dropped={}, **counts)
