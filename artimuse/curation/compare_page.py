"""The page of `artimuse compare --to`: both distributions, the differences, and the pictures that differ most."""

from collections.abc import Sequence
from typing import Any

import duckdb

from artimuse import __version__
from artimuse.curation import plots
from artimuse.curation.comparison import CompareReport
from artimuse.curation.largest import Pair, images_of
from artimuse.curation.measures import Distribution, read_differences
from artimuse.curation.page_facts import Gallery, Row, image_rows
from artimuse.curation.page_images import PageImages
from artimuse.curation.page_runs import RunFacts, describe_run
from artimuse.curation.pages.render import render
from artimuse.curation.pairing import Pairing
from artimuse.curation.shown import one_line
from artimuse.curation.tables import ScoreTable
from artimuse.curation.thumbnails import Place, thumbnails

MOST_IMAGES = 2
"""Of a prompt or other value, for each side."""
_TEXT_COLUMNS = 300


def compare_page(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    report: CompareReport,
    pairing: Pairing | None,
    distributions: tuple[Distribution, Distribution],
) -> str:
    """The page as text. The tables are called A and B, and are open in the connection."""
    pairs = (*report.largest_better, *report.largest_worse)
    galleries = [] if pairing is None else _galleries(connection, pairing, pairs)
    places = list(dict.fromkeys(place for gallery in galleries for place in gallery.places))
    rows: dict[Place, Row] = {}
    # Each table by itself: columns that both have may be of types that nothing holds.
    for number, table in enumerate(tables):
        of_table = [place for place in places if place[0] == table.name]
        rows |= image_rows(connection, of_table, f"rows_{number}")
    images = PageImages(rows, thumbnails(tables, places))
    shown = [_shown(pair, images.part(gallery), gallery, report) for pair, gallery in zip(pairs, galleries)]
    num_better = len(report.largest_better)
    runs = [describe_run(table, number) for number, table in enumerate(tables)]
    return render(
        "compare.html",
        plots=_plots(connection, report, pairing, distributions, runs),
        details=[
            {**detail, "facts": [["table", table], *detail["facts"]]}
            for (table, _), detail in zip(rows, images.details)
        ],
        title=f"A and B: {report.verdict}",
        verdict=report.verdict[0].upper() + report.verdict[1:] + ".",
        notes=[*report.warnings, *dict.fromkeys(table.record.note for table in tables if table.record.note)],
        differ=bool(pairs),
        noun=None if report.pairs is None else report.pairs.noun,
        sides=list(report.side_rows()),
        facts=list(report.facts()),
        parts=[("B is better by most", shown[:num_better]), ("A is better by most", shown[num_better:])],
        runs=runs,
        footer=f"Written by artimuse {__version__}. This file needs no network and no other file.",
    )


def _galleries(connection: duckdb.DuckDBPyConnection, pairing: Pairing, pairs: Sequence[Pair]) -> list[Gallery]:
    """The images of each pair, of A and B in turn, so that the next one is what an image is compared with."""
    of_a, of_b = (images_of(connection, pairing, side, pairs, MOST_IMAGES) for side in range(2))
    galleries = []
    for pair in pairs:
        places: list[Place] = []
        for number in range(MOST_IMAGES):
            for name, images in (("A", of_a), ("B", of_b)):
                places += [(name, row) for row in images[pair.a.row_number][number : number + 1]]
        galleries.append(Gallery(pair.value, "", tuple(places)))
    return galleries


def _shown(pair: Pair, part: dict[str, Any], gallery: Gallery, report: CompareReport) -> dict[str, Any]:
    is_of_images = report.pairs is not None and report.pairs.noun == "images"
    return {
        "difference": f"{pair.difference:+.1f}",
        "scores": f"A {pair.a.score:.1f}, B {pair.b.score:.1f}" + ("" if _is_single(pair) else " on average"),
        "name": one_line(pair.a.image_id if is_of_images else pair.value, _TEXT_COLUMNS),
        "members": list(zip((name for name, _ in gallery.places), part["members"])),
    }


def _is_single(pair: Pair) -> bool:
    return pair.a.num_images == pair.b.num_images == 1


def _plots(
    connection: duckdb.DuckDBPyConnection,
    report: CompareReport,
    pairing: Pairing | None,
    distributions: tuple[Distribution, Distribution],
    runs: Sequence[RunFacts],
) -> dict[str, Any]:
    found = {"plot-both": plots.histogram_of_both(*distributions)}
    if pairing is not None and (report.largest_better or report.largest_worse):
        found["plot-differences"] = plots.differences(read_differences(connection), report.difference, pairing.noun)
    for run in runs:
        if run.plot is not None:
            found[run.plot] = plots.timeline(run.timeline)
    return found
