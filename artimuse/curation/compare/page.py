"""The page of `artimuse compare --to`: both distributions, the differences, and the pictures that differ most."""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from artimuse import __version__
from artimuse.configs.limits import HttpAccess
from artimuse.curation.compare.comparison import CompareReport
from artimuse.curation.compare.largest import Pair, images_of
from artimuse.curation.compare.measures import Distribution, read_differences
from artimuse.curation.compare.pairing import Pairing
from artimuse.curation.compare.plots import differences, histogram_of_both
from artimuse.curation.compare.shown import one_line
from artimuse.curation.pages.galleries import Gallery, Place, image_rows
from artimuse.curation.pages.images import Card, PageImages
from artimuse.curation.pages.plots import timeline
from artimuse.curation.pages.render import render
from artimuse.curation.pages.runs import RunStory, story_of
from artimuse.curation.pages.thumbnails import SMALL, thumbnails
from artimuse.curation.tables import ScoreTable

MOST_IMAGES = 2
"""Of a prompt or other value, for each side."""
_TEXT_COLUMNS = 300


def compare_page(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    report: CompareReport,
    pairing: Pairing | None,
    distributions: tuple[Distribution, Distribution],
    http: HttpAccess | None,
) -> bytes:
    """The page in UTF-8, with pictures from web servers if `http` allows them.

    The tables are called A and B, and are open in the connection.
    """
    pairs = (*report.largest_better, *report.largest_worse)
    galleries = [] if pairing is None else _galleries(connection, pairing, pairs)
    sizes = {place: SMALL for gallery in galleries for place in gallery.places}
    images = PageImages(tables, image_rows(connection, tables, sizes), thumbnails(tables, sizes, http))
    shown = [_shown(pair, images.cards(gallery), gallery, report) for pair, gallery in zip(pairs, galleries)]
    num_better = len(report.largest_better)
    parts = [("B is better by most", shown[:num_better]), ("A is better by most", shown[num_better:])]
    stories = [story_of(table) for table in tables]
    values = {
        "title": f"A and B: {report.verdict}",
        # A number and its sign stay on one line.
        "verdict": (report.verdict[0].upper() + report.verdict[1:] + ".").replace(" %", "\N{NO-BREAK SPACE}%"),
        "notes": [*report.warnings, *dict.fromkeys(table.record.note for table in tables if table.record.note)],
        "sections": list(_sections(pairing, pairs)),
        "noun": None if pairing is None else pairing.noun,
        "sides": list(report.side_rows()),
        "together": list(report.facts()),
        "parts": [(title, members) for title, members in parts if members],
        "runs": stories,
        "footer": f"Written by artimuse {__version__}. This file needs no network and no other file.",
    }
    plots = _plots(connection, report, pairing, distributions, stories)
    return render("compare.html", values, plots=plots, details=images.details)


def _sections(pairing: Pairing | None, pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """Id and heading."""
    yield from (("tables", "Tables"), ("scores", "Scores"))
    if pairing is not None:
        yield "differences", "Differences"
    if pairs:
        yield "pictures", "Pictures"
    yield "run", "How it was made"


def _galleries(connection: duckdb.DuckDBPyConnection, pairing: Pairing, pairs: Sequence[Pair]) -> list[Gallery]:
    """The images of each pair, of A and B in turn, so that the next one is what an image is compared with."""
    of_a, of_b = (images_of(connection, pairing, side, pairs, MOST_IMAGES) for side in range(2))
    galleries = []
    for pair in pairs:
        places: list[Place] = []
        for number in range(MOST_IMAGES):
            for name, images in (("A", of_a), ("B", of_b)):
                places += [(name, row) for row in images[pair.a.row_number][number : number + 1]]
        galleries.append(Gallery(pair.value, len(places), tuple(places)))
    return galleries


def _shown(pair: Pair, cards: Sequence[Card], gallery: Gallery, report: CompareReport) -> dict[str, Any]:
    is_of_images = report.pairs is not None and report.pairs.noun == "images"
    return {
        "difference": f"{pair.difference:+.1f}",
        "scores": f"A {pair.a.score:.1f}, B {pair.b.score:.1f}" + ("" if _is_single(pair) else " on average"),
        "name": one_line(pair.a.image_id if is_of_images else pair.value, _TEXT_COLUMNS),
        "members": list(zip((name for name, _ in gallery.places), cards)),
    }


def _is_single(pair: Pair) -> bool:
    return pair.a.num_images == pair.b.num_images == 1


def _plots(
    connection: duckdb.DuckDBPyConnection,
    report: CompareReport,
    pairing: Pairing | None,
    distributions: tuple[Distribution, Distribution],
    stories: Sequence[RunStory],
) -> dict[str, Any]:
    """Specifications by the id of the element."""
    found = {"plot-both": histogram_of_both(*distributions)}
    if pairing is not None and (report.largest_better or report.largest_worse):
        found["plot-differences"] = differences(read_differences(connection), report.difference, pairing.noun)
    for number, story in enumerate(stories):
        if story.timeline:
            found[f"plot-timeline-{number}"] = timeline(story.timeline)
    return found
