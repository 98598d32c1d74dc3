"""Finished score tables as one relation in DuckDB: on disks and object stores, streamed."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.curation.files import StoreFiles
from artimuse.curation.functions import add_functions
from artimuse.errors import BadInput, BadOutput
from artimuse.io.folder import Folder
from artimuse.table.checked import DAMAGED
from artimuse.table.parts import PARTS, parts_by_shard
from artimuse.table.record import RUN_FILE, ScoreRecord
from artimuse.table.schema import SCORE_VALUES, TABLE_NAME, described, fold_case
from artimuse.table.verify import DEMO_TABLE

logger = logging.getLogger(__name__)

TABLE_NAME_FIELD = described(TABLE_NAME, pa.string(), "which of the tables the row is from", nullable=False)

MEMORY_LIMIT = "1500MB"
"""Of DuckDB. What does not fit goes to TMPDIR."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The output of `artimuse score`, which has at least one row."""

    name: str
    """What `table_name` says of its rows."""
    output: Folder
    record: ScoreRecord
    parts: tuple[str, ...]
    """Names of the files, in the order of the rows."""
    schema: pa.Schema
    """Its columns."""

    @property
    def fingerprint(self) -> str:
        """Tells it from a table of other images, or by another model."""
        kinds = (self.record.fingerprints.get("plan"), self.record.fingerprints.get("score"))
        return hashlib.sha256(json.dumps([kinds, self.record.plan.num_rows], sort_keys=True).encode()).hexdigest()

    @property
    def values(self) -> tuple[float, ...]:
        """The values that `score_probs` is over, points."""
        return tuple(json.loads(self.schema.field("score_probs").metadata[b"values"]))


def find_tables(arguments: Sequence[str]) -> list[ScoreTable]:
    """The tables that a command names, each as `LOCATION` or `NAME=LOCATION`.

    Without a name it is the last part of the location. Raises BadInput if two tables have one name, BadOutput if there
    is no table.
    """
    tables = [_find(argument) for argument in arguments]
    repeated = [name for name, count in Counter(table.name for table in tables).items() if count > 1]
    if repeated:
        raise BadInput(f"more than one table is called {repeated[0]!r}; NAME=TABLE gives each a name of its own")
    return tables


def _find(argument: str) -> ScoreTable:
    name, equals, location = argument.partition("=")
    if not equals or "/" in name or _record(argument):
        name, location = "", argument
    found = _record(location)
    if found is None:
        called = f" ({name!r} was taken for the name)" if name else ""
        raise BadOutput(f"{Folder.at(location).url()} holds no score table: there is no {RUN_FILE.name}{called}")
    output, record = found
    parts = tuple(part for names in parts_by_shard(output).values() for part in names)
    if not parts:
        raise BadOutput(f"{output.url()} holds no rows yet")
    if record.status != "finished":
        logger.warning("%s is unfinished: what has no row yet is missing here", output.url())
    name = name or PurePosixPath(Folder.at(location).root).name
    try:
        with output.open(f"{PARTS}/{parts[0]}") as file, pq.ParquetFile(file) as parquet:
            return ScoreTable(name, output, record, parts, parquet.schema_arrow)
    except DAMAGED as error:
        raise _unreadable(output.url(f"{PARTS}/{parts[0]}"), error) from error


def _record(location: str) -> tuple[Folder, ScoreRecord] | None:
    """The output at a location, or below it where the demo has it; None if there is none."""
    output = Folder.at(location)
    for folder in (output, output / DEMO_TABLE):
        record = RUN_FILE.read(folder)
        if record is not None:
            return folder, record
    return None


def common_schema(tables: Sequence[ScoreTable]) -> pa.Schema:
    """The columns of all tables, with `table_name` first. Names that differ in case only are one, as SQL has it.

    Raises BadInput if a column has a type in one table that the type of another does not hold.
    """
    fields = {TABLE_NAME: TABLE_NAME_FIELD}
    for table in tables:
        for field in table.schema:
            known = fields.setdefault(fold_case(field.name), field)
            kind = _wider(known.type, field.type)
            if kind is None or field.name in (TABLE_NAME, SCORE_VALUES):
                raise BadInput(
                    f"{table.output.url()}: its column {field.name} is {field.type}, and {known.type} in another table"
                )
            fields[fold_case(field.name)] = known.with_type(kind)
    return pa.schema(list(fields.values()))


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both without loss; None if neither does."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for is_kind in (pa.types.is_signed_integer, pa.types.is_unsigned_integer, pa.types.is_floating):
        if is_kind(one) and is_kind(other):
            return max(one, other, key=lambda kind: kind.bit_width)
    return None


@contextmanager
def opened(tables: Sequence[ScoreTable]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view `rows`: the rows of all tables, with `table_name` first and `score_values` last.

    A column that a table lacks is null. `functions.py` has what SQL may call beside DuckDB's own functions.
    """
    with (
        _explained(tables),
        TemporaryDirectory(prefix="artimuse-") as scratch,
        closing(duckdb.connect()) as connection,
    ):
        connection.execute("SET temp_directory = ?", [scratch])
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET preserve_insertion_order = false")
        add_functions(connection)
        for number, table in enumerate(tables):
            _create_view(connection, f"rows_{number}", table)
            if table.record.status != "finished":
                _refuse_repeats(connection, f"rows_{number}", table)
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM rows_{number}" for number in range(len(tables)))
        connection.execute(f"CREATE VIEW rows AS {union}")
        yield connection


@contextmanager
def _explained(tables: Sequence[ScoreTable]) -> Iterator[None]:
    """What DuckDB cannot read is a table's fault: conditions and columns have been checked by then."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise BadOutput(
            f"neither {MEMORY_LIMIT} of memory nor the disk of TMPDIR is enough ({str(error).splitlines()[0]});"
            " set TMPDIR to a larger disk"
        ) from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise _unreadable(", ".join(table.output.url() for table in tables), error) from error


def _unreadable(location: str, error: Exception) -> BadOutput:
    reason = str(error).splitlines()[0]
    return BadOutput(f"{location}: cannot be read ({reason}); `artimuse verify` names what is damaged")


def _refuse_repeats(connection: duckdb.DuckDBPyConnection, view: str, table: ScoreTable) -> None:
    """A run that was killed may have left a row in two files; its next start puts that right."""
    [(num_rows, num_distinct)] = connection.execute(
        f"SELECT count(*), count(DISTINCT row_number) FROM {view}"
    ).fetchall()
    if num_rows > num_distinct:
        raise BadOutput(
            f"{table.output.url()}: {num_rows - num_distinct:,} rows are there twice or more, as a killed run may leave"
            " them; the same `artimuse score` command puts that right"
        )


def _create_view(connection: duckdb.DuckDBPyConnection, view: str, table: ScoreTable) -> None:
    values = ", ".join(f"{value!r}::FLOAT" for value in table.values)
    connection.execute(
        f"CREATE VIEW {view} AS SELECT {quoted(table.name)} AS {TABLE_NAME}, *, [{values}] AS {SCORE_VALUES}"
        f" FROM {reader_of(connection, table, table.parts)}"
    )


def reader_of(connection: duckdb.DuckDBPyConnection, table: ScoreTable, parts: Sequence[str]) -> str:
    """Some parts of a table, as SQL reads them."""
    return reader_of_files(connection, table.output, [f"{PARTS}/{part}" for part in parts])


def reader_of_files(connection: duckdb.DuckDBPyConnection, folder: Folder, names: Sequence[str]) -> str:
    """Parquet files of a folder, as SQL reads them."""
    if folder.is_local:
        found = [folder.path(name) for name in names]
    else:
        files = StoreFiles.of(folder)
        if not connection.filesystem_is_registered(files.protocol):
            connection.register_filesystem(files)
        found = [files.url(folder, name) for name in names]
    return f"read_parquet([{', '.join(map(quoted, found))}])"


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(connection: duckdb.DuckDBPyConnection, relation: str = "rows") -> dict[str, str]:
    """Name -> SQL type of the columns."""
    described = connection.execute(f"DESCRIBE {relation}").fetchall()
    return {name: kind for name, kind, *_ in described}


def own_column(connection: duckdb.DuckDBPyConnection, name: str, option: str) -> str:
    """The column of that name, in any case, as the tables write it.

    Raises BadInput, with the columns that there are, if there is none.
    """
    names = list(columns_of(connection))
    for found in names:
        if found.lower() == name.lower():
            return found
    others = [found for found in names if found.lower() in (f"meta_{name}".lower(), f"input_{name}".lower())]
    hint = f"; perhaps {others[0]} is meant" if others else ""
    raise BadInput(f"{option} {name}: no such column{hint}. The columns are {', '.join(names)}")
