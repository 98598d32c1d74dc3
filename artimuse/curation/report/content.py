"""What the page about score tables says, as values of its template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from artimuse import __version__
from artimuse.curation.pages.galleries import Gallery
from artimuse.curation.pages.images import PageImages
from artimuse.curation.pages.plots import timeline
from artimuse.curation.pages.runs import RunStory
from artimuse.curation.pages.values import name_of, shown
from artimuse.curation.report import plots
from artimuse.curation.report.facts import Failure, Groups, Row, TableFacts
from artimuse.curation.report.galleries import BAND_POINTS, MOST_HASHES, NEAR_DISTANCE, NearDuplicates
from artimuse.curation.selection import SelectionFacts
from artimuse.table.dictionary import data_dictionary

MOST_COLUMNS = 300
_CELL_CHARS = 300
_QUANTILES = ("min", "5%", "25%", "median", "75%", "95%", "max")
_ABOUT_ENDS = {
    "Best": "The highest scores. Choose a picture to see the distribution of its score, its texts and its file.",
    "Worst": "The lowest scores.",
    "Least sure": "The widest distributions: what a person should look at first.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFacts:
    """All that the page tells of."""

    tables: Mapping[str, TableFacts]
    uncertainty: Sequence[Row]
    groups: Groups | None
    failures: Sequence[Failure]
    ends: Sequence[Gallery]
    bands: Sequence[Gallery]
    near: NearDuplicates
    selection: SelectionFacts | None
    stories: Sequence[RunStory]
    schema: pa.Schema
    notes: Sequence[str]
    """What a reader of the scores must know."""
    seed: int

    @property
    def num_rows(self) -> int:
        return sum(table.num_rows for table in self.tables.values())

    @property
    def num_scored(self) -> int:
        return sum(table.num_scored for table in self.tables.values())


def plots_of(facts: PageFacts) -> dict[str, Any]:
    """The specifications by the id of the element that they go into."""
    found: dict[str, Any] = {}
    if facts.num_scored:
        found["plot-scores"] = plots.scores(facts.tables)
    if facts.uncertainty:
        found["plot-uncertainty"] = plots.uncertainty(facts.uncertainty)
    if facts.groups and facts.groups.groups:
        found["plot-groups"] = plots.groups(facts.groups)
    for number, story in enumerate(facts.stories):
        if story.timeline:
            found[f"plot-timeline-{number}"] = timeline(story.timeline)
    return found


def values_of(facts: PageFacts, images: PageImages) -> dict[str, Any]:
    """What the template shows."""
    values = {
        **_heading(facts),
        "ends": [_part(part, images, _ABOUT_ENDS[part.title]) for part in facts.ends],
        "bands": [_part(part, images, _how_many(part, "image", "images")) for part in facts.bands],
        "about_bands": f"Images drawn from each {BAND_POINTS} points of the score.",
        **_scores(facts),
        "groups": None if facts.groups is None else _groups(facts.groups),
        "selection": None if facts.selection is None else _selection(facts.selection),
        "near": [_part(part, images, _how_many(part, "", "")) for part in facts.near.galleries],
        "about_near": _about_near(facts.near, facts.num_scored) if facts.num_scored else "",
        **_failures(facts),
        "runs": facts.stories,
        **_columns(facts.schema),
    }
    return values | {"sections": _sections(values), "footer": _footer(facts, images)}


def _heading(facts: PageFacts) -> dict[str, Any]:
    first = next(iter(facts.tables.values()))
    num_failed = facts.num_rows - facts.num_scored
    numbers = [(f"{facts.num_rows:,}", "image" if facts.num_rows == 1 else "images"), (f"{num_failed:,}", "failed")]
    if len(facts.tables) == 1 and facts.num_scored:
        quantiles = first.quantiles
        numbers.append((f"{quantiles['median']:.1f}", "median score"))
        numbers.append((f"{quantiles['25%']:.0f} to {quantiles['75%']:.0f}", "middle half"))
    num_described = sum(table.num_described for table in facts.tables.values())
    if num_described:
        numbers.append((f"{num_described:,}", "described in words"))
    if facts.selection is not None:
        numbers.append((f"{facts.selection.num_kept:,}", "kept by the selection"))
    models = dict.fromkeys(story.model for story in facts.stories)
    return {
        "title": " and ".join(name_of(name) for name in facts.tables),
        "lead": f"Aesthetics scores from 0 to 100, higher is better, by {' and '.join(models)}.",
        "notes": [shown(note) for note in facts.notes],
        "numbers": numbers,
    }


def _part(gallery: Gallery, images: PageImages, about: str) -> dict[str, Any]:
    return {"title": gallery.title, "about": about, "members": images.cards(gallery)}


def _how_many(gallery: Gallery, one: str, several: str) -> str:
    """How many images there are, and how many of them are shown."""
    num_shown = len(gallery.places)
    if num_shown < gallery.num_images:
        return f"{num_shown} of {gallery.num_images:,} {several}".rstrip()
    return f"{num_shown} {one if num_shown == 1 else several}" if several else ""


def _scores(facts: PageFacts) -> dict[str, Any]:
    about = "How many images have which score. A score is the mean of the distribution that the model gives."
    if facts.selection is not None:
        about += " What the selection keeps stands out."
    if len(facts.tables) > 1:
        about = (
            "What share of each table has which score. A score is the mean of the distribution that the model gives."
        )
    if not facts.num_scored:
        about = "No image has a score."
    return {
        "about_scores": about,
        "quantile_names": ["with a score", *_QUANTILES],
        "quantiles": [
            [name_of(name), f"{table.num_scored:,}", *(f"{table.quantiles[q]:.1f}" for q in _QUANTILES)]
            for name, table in facts.tables.items()
            if table.num_scored
        ],
    }


def _groups(found: Groups) -> dict[str, Any]:
    about = "A line from the 5% to the 95% quantile, a bar for the middle half, a dot for the median."
    if found.num_values > len(found.groups):
        about += f" The {len(found.groups):,} most frequent of {found.num_values:,} values."
    return {
        "by": name_of(found.by),
        "about": about,
        "names": ["images", "mean", "5%", "median", "95%"],
        "rows": [
            [
                name_of(group.label),
                f"{group.count:,}",
                *(f"{score:.1f}" for score in (group.mean, *(group.quantiles[q] for q in ("5%", "median", "95%")))),
            ]
            for group in found.groups
        ],
    }


def _selection(facts: SelectionFacts) -> dict[str, Any]:
    counts = {"kept": facts.num_kept, **facts.dropped}
    pairs = "" if facts.num_pairs is None else f" They make {facts.num_pairs:,} pairs."
    return {
        "about": f"{facts.num_kept:,} of {facts.num_rows:,} images are kept; each of the others has the one reason that"
        f" dropped it.{pairs} The pictures on this page are of those that are kept.",
        "shares": [(name, f"{count:,}", 100 * count / max(1, facts.num_rows)) for name, count in counts.items()],
        "settings": [(name_of(name), shown(value)) for name, value in facts.settings.items()],
    }


def _about_near(near: NearDuplicates, num_scored: int) -> str:
    searched = "all images" if num_scored <= MOST_HASHES else f"{near.num_searched:,} images drawn from all"
    alike = f"perceptual hashes differ in at most {NEAR_DISTANCE} of 64 bits, also by way of others between them"
    if not near.num_groups:
        return f"None among {searched}: no two {alike.partition(',')[0]}."
    groups = "1 group" if near.num_groups == 1 else f"{near.num_groups:,} groups"
    largest = "" if near.num_groups == len(near.galleries) else " These are the largest groups."
    return f"{groups} of {near.num_in_groups:,} images among {searched}, whose {alike}.{largest}"


def _failures(facts: PageFacts) -> dict[str, Any]:
    num_failed = sum(failure.count for failure in facts.failures)
    about = f"{num_failed:,} of {facts.num_rows:,} images have no score, for these reasons."
    return {
        "about_failures": about if num_failed else "None: every image has a score.",
        "failures": [
            {
                "code": failure.code,
                "count": f"{failure.count:,} {'image' if failure.count == 1 else 'images'}",
                "examples": [(name_of(name), shown(error, _CELL_CHARS)) for name, error in failure.examples],
            }
            for failure in facts.failures
        ],
    }


def _columns(schema: pa.Schema) -> dict[str, Any]:
    columns = list(data_dictionary(schema))
    left_out = len(columns) - MOST_COLUMNS
    return {
        "about_columns": f"{len(columns):,} columns" + (f", the first {MOST_COLUMNS} of them" if left_out > 0 else ""),
        "columns": [
            {
                "name": name_of(column.name),
                "kind": shown(column.kind, _CELL_CHARS),
                "range": shown(column.range, _CELL_CHARS),
                "direction": shown(column.direction, _CELL_CHARS),
                "meaning": shown(column.meaning, _CELL_CHARS),
            }
            for column in columns[:MOST_COLUMNS]
        ],
    }


def _sections(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The id and the short name of each section that there is."""
    sections = [("pictures", "Pictures")] if values["ends"] else []
    sections.append(("scores", "Scores"))
    sections += [("bands", "Top to bottom"), ("sure", "Sureness")] if values["bands"] else []
    sections += [("groups", "Groups")] if values["groups"] else []
    sections += [("selection", "Selection")] if values["selection"] else []
    sections += [("near", "Near-duplicates")] if values["about_near"] else []
    return [*sections, ("failures", "Failures"), ("run", "Run"), ("columns", "Columns")]


def _footer(facts: PageFacts, images: PageImages) -> str:
    return (
        f"Written by artimuse {__version__}. {images.num_images:,} of {facts.num_scored:,} images with a score are"
        f" shown, drawn with seed {facts.seed} where there are more than have room. This file needs no network and no"
        " other file."
    )
