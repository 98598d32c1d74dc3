"""`artimuse report`: a page about score tables, in one file that needs nothing else."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
from rich.console import Console

from artimuse.configs.report import PageConfig
from artimuse.curation.pages.galleries import image_rows
from artimuse.curation.pages.images import PageImages
from artimuse.curation.pages.location import page_location, refuse_other_file
from artimuse.curation.pages.render import render
from artimuse.curation.pages.runs import story_of
from artimuse.curation.pages.thumbnails import LARGE, SMALL, thumbnails
from artimuse.curation.report.content import PageFacts, plots_of, values_of
from artimuse.curation.report.facts import read_failures, read_groups, read_tables, read_uncertainty
from artimuse.curation.report.galleries import bands, ends, find_near_duplicates
from artimuse.curation.selection import Selection, split_location
from artimuse.curation.tables import ScoreTable, common_schema, find_tables, opened, own_column, quoted, reader_of_files
from artimuse.errors import BadInput
from artimuse.io.location import printable
from artimuse.runs.progress import RunProgress

logger = logging.getLogger(__name__)

PAGE = "report.html"
"""In the output of the first table, unless --to says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReport:
    """What `artimuse report` has written."""

    page: str
    num_bytes: int
    num_pictures: int
    num_missing: int
    """Pictures that could not be read."""

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        missing = f", {self.num_missing:,} of them could not be read" if self.num_missing else ""
        pictures = "1 picture" if self.num_pictures == 1 else f"{self.num_pictures:,} pictures"
        console.print(
            f"report  {printable(self.page)} ({self.num_bytes / 1e6:.1f} MB, {pictures}{missing})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def run(config: PageConfig, console: Console) -> PageReport:
    """Reads the tables and some of the images, and writes the page.

    Raises BadInput for a column or a selection that is not of these tables, and for a file at --to that is no page;
    BadOutput for what is no table or cannot be written.
    """
    tables = find_tables(config.tables)
    folder, name = (tables[0].output, PAGE) if config.to is None else page_location(config.to, "report")
    refuse_other_file(folder, name)
    selection = None if config.selection is None else Selection.at(config.selection)
    progress = RunProgress(console)
    with opened(tables) as connection, progress.phase("reading the tables"):
        facts = _read(connection, tables, selection, config)
        small = [place for part in (*facts.bands, *facts.near.galleries) for place in part.places]
        sizes = dict.fromkeys(small, SMALL) | dict.fromkeys((p for part in facts.ends for p in part.places), LARGE)
        rows = image_rows(connection, tables, sizes)
    with progress.phase("making small pictures"):
        images = PageImages(tables, rows, thumbnails(tables, sizes, config.http_access))
    values = values_of(facts, images)
    page = render("report.html", values, plots=plots_of(facts), details=images.details)
    folder.write(name, page)
    return PageReport(
        page=folder.url(name), num_bytes=len(page), num_pictures=len(sizes), num_missing=images.num_missing
    )


def _read(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    selection: Selection | None,
    config: PageConfig,
) -> PageFacts:
    _create_shown(connection, tables, selection)
    by = None if config.by is None else own_column(connection, config.by, "--by")
    names = [table.name for table in tables]
    of_tables = dict(zip(names, read_tables(connection, names, has_selection=selection is not None)))
    num_shown = sum(int((t.scores if t.kept is None else t.kept).sum()) for t in of_tables.values())
    return PageFacts(
        tables=of_tables,
        uncertainty=read_uncertainty(connection),
        groups=None if by is None else read_groups(connection, by),
        failures=read_failures(connection),
        ends=ends(connection, num_shown),
        bands=bands(connection, config.seed),
        near=find_near_duplicates(connection, config.seed, num_shown),
        selection=None if selection is None else selection.facts,
        stories=[story_of(table) for table in tables],
        schema=common_schema(tables),
        notes=list(dict.fromkeys(table.record.note for table in tables if table.record.note)),
        seed=config.seed,
    )


def _create_shown(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[ScoreTable], selection: Selection | None
) -> None:
    """The view `shown`: rows with a score, and if there is a selection only those that it keeps."""
    if selection is None:
        connection.execute("CREATE VIEW shown AS SELECT * FROM rows WHERE score IS NOT NULL")
        return
    folder, name = split_location(selection.location)
    files = reader_of_files(connection, folder, [name])
    sides = ("",) if selection.facts.kind == "rows" else ("winner_", "loser_")
    kept = " UNION ".join(
        f"SELECT {side}table_name AS name, {side}row_number AS row_number FROM {files}" for side in sides
    )
    named = ", ".join(f"({quoted(old)}, {quoted(new)})" for old, new in _names(selection, tables).items())
    connection.execute(
        f"CREATE TEMP TABLE chosen AS SELECT names.ours AS table_name, row_number FROM ({kept}) AS kept"
        f" JOIN (VALUES {named}) AS names(theirs, ours) ON names.theirs = kept.name"
    )
    connection.execute(
        "CREATE VIEW shown AS SELECT * FROM rows SEMI JOIN chosen USING (table_name, row_number)"
        " WHERE score IS NOT NULL"
    )


def _names(selection: Selection, tables: Sequence[ScoreTable]) -> dict[str, str]:
    """What each table of the selection is called here: the one at the same place or, as tables may move, of the name.

    Raises BadInput for a table that is not among ours.
    """
    by_place = {table.output.url(): table.name for table in tables}
    ours = {table.name: table for table in tables}
    found = {}
    for name, folder in selection.tables.items():
        here = by_place.get(folder.url(), name)
        if here not in ours:
            raise BadInput(
                f"--selection {selection.location}: it is of the table {folder.url()} as well; name that one as TABLE"
            )
        if ours[here].fingerprint != selection.facts.fingerprints[name]:
            raise BadInput(
                f"--selection {selection.location}: it was made of other rows than {ours[here].output.url()} has now"
            )
        found[name] = here
    return found
