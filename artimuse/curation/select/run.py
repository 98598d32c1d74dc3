"""`artimuse select`: from finished score tables to the images that are kept, each of the others with its reason."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow.parquet as pq
from rich.console import Console

from artimuse import __version__
from artimuse.configs.select import REST, SelectConfig
from artimuse.curation.functions import with_columns
from artimuse.curation.select.pairs import NOT_PAIRED, make_pairs
from artimuse.curation.select.steps import Step, its, steps_of, take
from artimuse.curation.select.writing import write_dropped, write_kept, write_pairs
from artimuse.curation.selection import METADATA_KEY, SelectionFacts, dropped_name, selection_location
from artimuse.curation.tables import (
    ScoreTable,
    common_schema,
    find_tables,
    identifier,
    opened,
    own_column,
)
from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.io.reading import open_input
from artimuse.runs.progress import RunProgress
from artimuse.table.expression import refuse_more_than_expression
from artimuse.table.parts import PARTS, STAGED
from artimuse.table.plan import MANIFEST

logger = logging.getLogger(__name__)

_ALWAYS = ("table_name", "row_number", "score")
# What a condition can be wrong in; files that cannot be read raise others.
_OF_CONDITIONS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.InvalidTypeException,
)
_IN_FUNCTION = "while executing the UDF: ValueError: "


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectReport:
    """What `artimuse select` has written."""

    selection: str
    dropped: str
    facts: SelectionFacts

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        for line in self._lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        facts = self.facts
        yield f"{facts.num_rows:,} images: {facts.num_kept:,} kept, {facts.num_rows - facts.num_kept:,} dropped"
        for reason, count in facts.dropped.items():
            yield f"{count:>12,} {reason}"
        if facts.num_pairs is not None:
            more = f", {facts.num_more_pairs:,} more than --pairs-per-prompt allows" if facts.num_more_pairs else ""
            yield f"{facts.num_pairs:,} pairs; left out: {facts.num_ties:,} ties{more}"
        yield f"kept     {self.selection}"
        yield f"dropped  {self.dropped}"


def run(config: SelectConfig, console: Console) -> SelectReport:
    """Reads the tables, and writes the two files of a selection.

    Raises BadInput if what is asked for does not fit the tables, BadOutput for what is no table or cannot be written.
    """
    tables = find_tables(config.tables)
    folder, name = selection_location(config.to)
    _refuse_place(folder, name, tables)
    common_schema(tables)
    if config.where is not None:
        refuse_more_than_expression("--where", config.where)
    progress = RunProgress(console)
    with opened(tables) as connection:
        with progress.phase("choosing"):
            facts = _choose(connection, tables, config)
        with progress.phase("writing"):
            write_rows = write_pairs if config.pairs is not None else write_kept
            connection.execute("CREATE TEMP TABLE chosen AS SELECT table_name, row_number FROM kept ORDER BY ALL")
            write_rows(connection, tables, facts, folder, name)
            write_dropped(connection, tables, facts, folder, name)
    return SelectReport(selection=folder.url(name), dropped=folder.url(dropped_name(name)), facts=facts)


def _choose(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[ScoreTable], config: SelectConfig
) -> SelectionFacts:
    """Makes the relations `kept`, `left_out` and, with --pairs, `pairs`."""
    steps = list(steps_of(config, connection))
    paired = None if config.pairs is None else own_column(connection, config.pairs, "--pairs")
    _start(connection, config, steps, paired)
    _warn_of_empty_quotas(connection, config)
    for step in steps:
        take(connection, step)
    num_ties = num_pairs = num_more = None
    if paired is not None:
        num_ties, num_more = make_pairs(connection, paired, config)
        num_pairs = _count(connection, "pairs")
    num_rows, num_kept = _count(connection, "rows"), _count(connection, "kept")
    return SelectionFacts(
        kind="rows" if paired is None else "pairs",
        artimuse=__version__,
        tables={table.name: table.output.url() for table in tables},
        fingerprints={table.name: table.fingerprint for table in tables},
        settings=config.settings,
        num_rows=num_rows,
        num_kept=num_kept,
        dropped=_dropped(connection, num_rows - num_kept, [*(step.reason for step in steps), NOT_PAIRED]),
        num_pairs=num_pairs,
        num_ties=num_ties,
        num_more_pairs=num_more,
    )


def _dropped(connection: duckdb.DuckDBPyConnection, num_dropped: int, reasons: Sequence[str]) -> dict[str, int]:
    """The number of rows by the reason that dropped them, in the order of the steps."""
    by_step = dict(connection.execute("SELECT reason, count(*) FROM left_out GROUP BY reason").fetchall())
    num_failed = _count(connection, "rows WHERE status <> 'ok'")
    counts = {"failed": num_failed, "where": num_dropped - num_failed - sum(by_step.values())}
    counts |= {reason: by_step.get(reason, 0) for reason in reasons}
    return {reason: count for reason, count in counts.items() if count}


def _start(
    connection: duckdb.DuckDBPyConnection, config: SelectConfig, steps: Sequence[Step], paired: str | None
) -> None:
    """`kept` has the rows that come into question, with no more columns than the steps look at."""
    needed = dict.fromkeys(column for step in steps for column in step.columns)
    if paired is not None:
        needed |= dict.fromkeys(["score_std", paired])
    columns = [*_ALWAYS, *(f"{identifier(column)} AS {its(column)}" for column in needed)]
    # On lines of its own, so that a comment at its end hides nothing.
    condition = "" if config.where is None else f"AND (\n{with_columns(config.where)}\n)"
    try:
        connection.execute(
            f"CREATE TEMP TABLE kept AS SELECT {', '.join(columns)} FROM rows WHERE status = 'ok' {condition}"
        )
    except duckdb.Error as error:
        if config.where is None or not _is_of_condition(error):
            raise
        raise BadInput(f"--where {config.where!r}: {_first_line(error)}") from error
    connection.execute(
        "CREATE TEMP TABLE left_out (table_name VARCHAR, row_number BIGINT, reason VARCHAR, duplicate_of VARCHAR,"
        " duplicate_of_table VARCHAR)"
    )


def _warn_of_empty_quotas(connection: duckdb.DuckDBPyConnection, config: SelectConfig) -> None:
    """A value that no image has is mostly a slip."""
    if config.quotas is None:
        return
    asked, counts = config.quotas
    column = f"{its(own_column(connection, asked, '--quota'))}::VARCHAR"
    values = list(counts.keys() - {REST})
    found = connection.execute(
        f"SELECT DISTINCT {column} FROM kept WHERE list_contains(?, {column})", [values]
    ).fetchall()
    for value in sorted(set(values) - {value for (value,) in found}):
        logger.warning("--quota: no image that comes into question has %s %r", asked, value)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    [(count,)] = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def _is_of_condition(error: duckdb.Error) -> bool:
    return isinstance(error, _OF_CONDITIONS) or _IN_FUNCTION in str(error)


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0].rpartition(_IN_FUNCTION)[2]


def _refuse_place(folder: Folder, name: str, tables: Sequence[ScoreTable]) -> None:
    """An earlier selection is replaced, any other file is not; a table's own files stay what they are."""
    for table in tables:
        if folder.root in (table.output.url(part) for part in (PARTS, STAGED, MANIFEST)):
            raise BadInput(f"--to {folder.url(name)}: whoever reads the table would take it for a part; choose another")
    for written, kinds in ((name, ("rows", "pairs")), (dropped_name(name), ("dropped",))):
        if folder.exists(written) and _kind_at(folder.url(written)) not in kinds:
            raise BadInput(f"--to {folder.url(name)}: {written} is there and is no selection; choose another name")


def _kind_at(location: str) -> str | None:
    """The kind of selection that a file is; None if it is none."""
    try:
        with open_input(location) as file, pq.ParquetFile(file) as parquet:
            saved = (parquet.schema_arrow.metadata or {}).get(METADATA_KEY)
    except BadInput:
        return None
    return None if saved is None else str(json.loads(saved)["kind"])
