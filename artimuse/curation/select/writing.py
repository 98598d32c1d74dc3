"""Writing a selection: the tables are read once more, a few shards at a time, so that memory stays bounded."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.curation.select.pairs import SIDE_COLUMNS
from artimuse.curation.selection import SelectionFacts, dropped_name
from artimuse.curation.tables import TABLE_NAME_FIELD, ScoreTable, common_schema, quoted, reader_of
from artimuse.io.folder import Folder
from artimuse.table.checked import WRITE_OPTIONS
from artimuse.table.schema import TABLE_NAME, described, fold_case

SHARDS_AT_A_TIME = 4
"""200,000 rows, of which all columns are in memory if they are kept."""
ROWS_PER_GROUP = 8192

DROPPED = pa.schema(
    [
        TABLE_NAME_FIELD,
        described("row_number", pa.int64(), "of the row in its table", nullable=False),
        described("image_id", pa.string(), "of the row", nullable=False),
        described("reason", pa.string(), "what dropped it: the first of the steps that did", nullable=False),
        described("duplicate_of", pa.string(), "image_id of the better one that is kept in its place; else null"),
        described("duplicate_of_table", pa.string(), "table_name of that one"),
    ]
)


def write_kept(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    facts: SelectionFacts,
    folder: Folder,
    name: str,
) -> None:
    """The rows of `chosen`, whole and in the order of the tables. Raises BadOutput."""
    schema = common_schema(tables).with_metadata(facts.as_metadata())
    with folder.writing(name) as path, pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
        for table in tables:
            for files, condition in _stretches(connection, table):
                chosen = f"SELECT row_number FROM chosen WHERE {condition}"
                rows = connection.sql(
                    f"SELECT rows.* FROM {files} AS rows SEMI JOIN ({chosen}) USING (row_number) ORDER BY row_number"
                ).to_arrow_table()
                writer.write_table(_conformed(rows, table.name, schema), row_group_size=ROWS_PER_GROUP)


def write_dropped(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    facts: SelectionFacts,
    folder: Folder,
    name: str,
) -> None:
    """A line for every row that is not in `chosen`. A row that no step has seen failed, or --where has dropped it."""
    connection.execute("CREATE TEMP TABLE dropped AS SELECT * FROM left_out ORDER BY table_name, row_number")
    schema = DROPPED.with_metadata(replace(facts, kind="dropped").as_metadata())
    with folder.writing(dropped_name(name)) as path, pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
        for table in tables:
            for files, condition in _stretches(connection, table):
                rows = connection.sql(f"""
                    SELECT row_number, rows.image_id,
                        coalesce(steps.reason, CASE rows.status WHEN 'ok' THEN 'where' ELSE 'failed' END) AS reason,
                        steps.duplicate_of, steps.duplicate_of_table
                    FROM (SELECT row_number, image_id, status FROM {files}) AS rows
                    ANTI JOIN (SELECT row_number FROM chosen WHERE {condition}) USING (row_number)
                    LEFT JOIN (SELECT * EXCLUDE (table_name) FROM dropped WHERE {condition}) AS steps USING (row_number)
                    ORDER BY row_number
                """).to_arrow_table()
                writer.write_table(_conformed(rows, table.name, schema), row_group_size=ROWS_PER_GROUP)


def write_pairs(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    facts: SelectionFacts,
    folder: Folder,
    name: str,
) -> None:
    """The relation `pairs`, the best first; the columns of both images are read from the tables."""
    schema = pairs_schema(common_schema(tables)).with_metadata(facts.as_metadata())
    sides = ", ".join(f"{side}.{column} AS {side}_{column}" for side in ("winner", "loser") for column in SIDE_COLUMNS)
    joins = " ".join(
        f"JOIN rows AS {side} ON {side}.table_name = pairs.{side}_table_name"
        f" AND {side}.row_number = pairs.{side}_row_number"
        for side in ("winner", "loser")
    )
    connection.execute(f"""
        CREATE TEMP TABLE written AS SELECT pairs.prompt, pairs.margin, pairs.margin_std, {sides} FROM pairs {joins}
        ORDER BY pairs.margin DESC, winner_table_name, winner_row_number, loser_table_name, loser_row_number
    """)
    batches = connection.sql("SELECT rowid AS pair_number, * FROM written ORDER BY rowid").to_arrow_reader(
        ROWS_PER_GROUP
    )
    with folder.writing(name) as path, pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]).select(schema.names).cast(schema))


def pairs_schema(rows: pa.Schema) -> pa.Schema:
    """The columns of pairs of such rows."""
    fields = [
        described("pair_number", pa.int64(), "place of the pair, from 0; the largest margin first", nullable=False),
        described("prompt", pa.string(), "what both images have in common: the value of the column of --pairs"),
        described("margin", pa.float64(), "score of the winner minus that of the loser, points"),
        described("margin_std", pa.float64(), "margin in standard deviations of the difference of the two scores"),
    ]
    for side in ("winner", "loser"):
        for column in SIDE_COLUMNS:
            field = rows.field(column)
            meaning = field.metadata[b"description"].decode()
            fields.append(described(f"{side}_{column}", field.type, f"of the {side}: {meaning}"))
    return pa.schema(fields)


def _stretches(connection: duckdb.DuckDBPyConnection, table: ScoreTable) -> Iterator[tuple[str, str]]:
    """The files of a few shards as SQL, and the condition of their rows in a relation with table_name, row_number."""
    rows_per_shard = table.record.plan.rows_per_shard
    for number, parts in groupby(table.parts, key=lambda part: _shard(part) // SHARDS_AT_A_TIME):
        first = number * SHARDS_AT_A_TIME * rows_per_shard
        end = first + SHARDS_AT_A_TIME * rows_per_shard
        condition = f"table_name = {quoted(table.name)} AND row_number >= {first} AND row_number < {end}"
        yield reader_of(connection, table, list(parts)), condition


def _shard(part: str) -> int:
    return int(part.partition("-")[0])


def _conformed(rows: pa.Table, table_name: str, schema: pa.Schema) -> pa.Table:
    """With the name of the table, the types and descriptions as the tables have them, and null for what it lacks."""
    own_names = {fold_case(name): name for name in rows.column_names}
    columns = []
    for field in schema:
        own_name = own_names.get(fold_case(field.name))
        if field.name == TABLE_NAME:
            columns.append(pa.repeat(pa.scalar(table_name, field.type), len(rows)))
        elif own_name is not None:
            columns.append(rows[own_name].cast(field.type))
        else:
            columns.append(pa.nulls(len(rows), field.type))
    return pa.table(columns, schema=schema)
