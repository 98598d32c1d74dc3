"""`artimuse report`: a page about finished score tables, in one file that needs nothing else."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa
from rich.console import Console

from artimuse import __version__
from artimuse.configs.report import PageConfig
from artimuse.curation import plots
from artimuse.curation.page_facts import (
    MOST_HASHES,
    NEAR_DISTANCE,
    QUANTILES,
    Gallery,
    PageFacts,
    galleries,
    image_rows,
    read_facts,
    twin_galleries,
)
from artimuse.curation.page_images import PageImages
from artimuse.curation.page_runs import describe_run
from artimuse.curation.pages.location import page_location
from artimuse.curation.pages.render import render
from artimuse.curation.selection import Selection, SelectionFacts
from artimuse.curation.tables import ScoreTable, find_tables, opened, own_column
from artimuse.curation.thumbnails import thumbnails
from artimuse.errors import BadInput
from artimuse.runs.progress import RunProgress
from artimuse.table.dictionary import data_dictionary

logger = logging.getLogger(__name__)

PAGE = "report.html"
"""In the output of the first table, unless --to says otherwise."""
_ENDS = 3
"""The first galleries: the best, the worst, the least sure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReport:
    """What `artimuse report` has written."""

    page: str
    num_bytes: int
    num_pictures: int
    num_missing: int
    """Pictures that could not be read here."""

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        missing = f", {self.num_missing:,} of them not to be read here" if self.num_missing else ""
        console.print(
            f"report  {self.page} ({self.num_bytes / 1e6:.1f} MB, {self.num_pictures:,} pictures{missing})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def run(config: PageConfig, console: Console) -> PageReport:
    """Reads the tables and some of the images, and writes the page.

    Raises BadInput for a column or a selection that is not of these tables, BadOutput for what is no table or cannot be
    written.
    """
    tables = find_tables(config.tables)
    selection = None if config.selection is None else Selection.at(config.selection)
    progress = RunProgress(console)
    with opened(tables) as connection:
        with progress.phase("reading the table"):
            _create_shown(connection, tables, selection)
            by = None if config.by is None else own_column(connection, config.by, "--by")
            facts = read_facts(connection, [table.name for table in tables], by, has_selection=selection is not None)
            shown = galleries(connection, config.seed)
            twins, num_twins, num_hashes = twin_galleries(connection, config.seed)
            places = [place for gallery in (*shown, *twins) for place in gallery.places]
            rows = image_rows(connection, places)
        with progress.phase("making small pictures"):
            images = PageImages(rows, thumbnails(tables, places))
    page = render(
        "report.html",
        plots=_plots(facts, tables, by),
        details=images.details,
        **_heading(tables, facts, selection),
        **_galleries(images, shown, twins, num_twins, num_hashes, facts),
        **_tables(facts, by),
        selection=None if selection is None else _selection(selection.facts),
        runs=[describe_run(table, number) for number, table in enumerate(tables)],
        dictionary=list(data_dictionary(_schema(tables))),
        footer=f"Written by artimuse {__version__}. It shows {len(set(places)):,} of {facts.num_scored:,} images, drawn"
        f" with seed {config.seed}. This file needs no network and no other file.",
    )
    folder, name = (tables[0].output, PAGE) if config.to is None else page_location(config.to, "report")
    data = page.encode()
    folder.write(name, data)
    return PageReport(
        page=folder.url(name),
        num_bytes=len(data),
        num_pictures=len(set(places)),
        num_missing=images.num_missing,
    )


def _create_shown(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[ScoreTable], selection: Selection | None
) -> None:
    """The view of the rows that galleries are drawn from."""
    if selection is None:
        connection.execute("CREATE VIEW shown AS SELECT * FROM rows WHERE score IS NOT NULL")
        return
    if selection.facts.kind != "rows":
        raise BadInput(f"--selection {selection.location}: has pairs; give a selection made without --pairs")
    ours = {table.name: table.output.url() for table in tables}
    others = [name for name, location in selection.facts.tables.items() if ours.get(name) != location]
    if others:
        raise BadInput(
            f"--selection {selection.location}: is of another table, {others[0]}="
            f"{selection.facts.tables[others[0]]}; name that one as TABLE"
        )
    batches = selection.batches(["table_name", "row_number"])
    kept = pa.Table.from_batches(batches, pa.schema([selection.schema.field(n) for n in ("table_name", "row_number")]))
    connection.register("kept_by_selection", kept)
    connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM kept_by_selection")
    connection.unregister("kept_by_selection")
    connection.execute("CREATE VIEW shown AS SELECT * FROM rows SEMI JOIN kept USING (table_name, row_number)")


def _plots(facts: PageFacts, tables: Sequence[ScoreTable], by: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if facts.num_scored:
        found |= {"plot-histogram": plots.histogram(facts), "plot-uncertainty": plots.uncertainty(facts.uncertainty)}
    if facts.groups and by is not None:
        found["plot-groups"] = plots.groups(facts.groups, by)
    for number, table in enumerate(tables):
        run_facts = describe_run(table, number)
        if run_facts.plot is not None:
            found[run_facts.plot] = plots.timeline(run_facts.timeline)
    return found


def _schema(tables: Sequence[ScoreTable]) -> pa.Schema:
    return pa.unify_schemas([table.schema for table in tables], promote_options="permissive")


def _heading(tables: Sequence[ScoreTable], facts: PageFacts, selection: Selection | None) -> dict[str, Any]:
    num_failed = facts.num_rows - facts.num_scored
    numbers = [
        (f"{facts.num_rows:,}", "images"),
        (f"{facts.num_scored:,}", "with a score"),
        (f"{num_failed:,}", "failed"),
    ]
    if facts.num_described:
        numbers.append((f"{facts.num_described:,}", "described in words"))
    if selection is not None:
        numbers.append((f"{selection.facts.num_kept:,}", "kept by the selection"))
    if len(tables) == 1 and facts.num_scored:
        numbers.append((f"{facts.quantiles[tables[0].name][0.5]:.1f}", "median score"))
    models = dict.fromkeys(str((table.record.report or table.record.config).get("model", "")) for table in tables)
    notes = dict.fromkeys(table.record.note for table in tables if table.record.note)
    sections = [("scores", "Scores"), *([("selection", "Selection")] if selection else [])]
    sections += [("pictures", "Pictures"), ("bands", "From top to bottom"), ("sure", "How sure the model is")]
    sections += [("groups", "Groups")] if facts.groups else []
    sections += [("twins", "Near duplicates"), ("failures", "Failures"), ("runs", "How it was made")]
    return {
        "title": " and ".join(table.name for table in tables),
        "lead": f"Aesthetics scores from 0 to 100, higher is better, by {' and '.join(models)}.",
        "notes": list(notes),
        "numbers": numbers,
        "sections": [*sections, ("columns", "Columns")],
        "about_scores": "How many images have which score: the mean of the distribution that the model gives.",
    }


def _galleries(
    images: PageImages,
    shown: Sequence[Gallery],
    twins: Sequence[Gallery],
    num_twins: int,
    num_hashes: int,
    facts: PageFacts,
) -> dict[str, Any]:
    searched = "all images" if num_hashes < MOST_HASHES else f"{num_hashes:,} images drawn from all"
    about_twins = (
        f"{num_twins:,} groups among {searched}: perceptual hashes that differ in at most {NEAR_DISTANCE} of 64 bits."
        " These are the largest."
        if num_twins
        else f"None among {searched}: no two perceptual hashes differ in {NEAR_DISTANCE} bits or fewer."
    )
    return {
        "ends": [images.part(gallery) for gallery in shown[:_ENDS]],
        "bands": [images.part(gallery) for gallery in shown[_ENDS:]],
        "twins": [images.part(gallery) for gallery in twins],
        "about_pictures": "A click, or Enter, shows the distribution of the score and what else is known of the image."
        if facts.num_scored
        else "No image has a score.",
        "about_bands": "Some images of every ten points, drawn at random.",
        "about_twins": about_twins,
    }


def _tables(facts: PageFacts, by: str | None) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for row in facts.histogram:
        if row["kind"] == "all":
            counts[row["table_name"]] = counts.get(row["table_name"], 0) + row["count"]
    names = {0.5: "median"}
    return {
        "quantile_names": [names.get(q, f"{q:.0%}") for q in QUANTILES],
        "quantile_rows": [
            [name, f"{counts[name]:,}", *(f"{score:.1f}" for score in scores.values())]
            for name, scores in facts.quantiles.items()
        ],
        "groups": None if by is None else _groups(facts, by),
        "failures": [
            {
                "code": row["error_code"],
                "count": f"{row['count']:,}",
                "examples": [(example["image_id"][:200], example["error"] or "") for example in row["examples"]],
            }
            for row in facts.failures
        ],
        "about_failures": "Images without a score, by the kind of error."
        if facts.failures
        else "Every image has a score.",
    }


def _groups(facts: PageFacts, by: str) -> dict[str, Any]:
    more = f" The {len(facts.groups):,} most frequent of {facts.num_values:,} values."
    rows = [
        [str(row["value"])[:200], f"{row['count']:,}", *(f"{row[name]:.1f}" for name in ("mean", "q05", "q50", "q95"))]
        for row in facts.groups
    ]
    about = "A line from the 5 % to the 95 % quantile, a bar for the middle half, a dot for the median."
    return {"by": by, "about": about + (more if facts.num_values > len(facts.groups) else ""), "rows": rows}


def _selection(facts: SelectionFacts) -> dict[str, Any]:
    counts = {"kept": facts.num_kept, **facts.dropped}
    return {
        "about": f"{facts.num_kept:,} of {facts.num_rows:,} images are kept; every other one has the one reason that"
        " dropped it. The pictures below are of those that are kept.",
        "counts": [
            (name, f"{count:,}", round(100 * count / max(1, facts.num_rows), 2)) for name, count in counts.items()
        ],
        "settings": [(name, str(value)) for name, value in facts.settings.items()],
    }
