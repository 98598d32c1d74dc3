"""Single images on the page: what a card shows, and what the script shows of one that is opened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artimuse.attributes import ATTRIBUTES
from artimuse.curation.page_facts import Gallery, Row
from artimuse.curation.tables import SCORE_VALUES, TABLE_NAME
from artimuse.curation.thumbnails import Place
from artimuse.runs.terminal import without_controls
from artimuse.table.schema import SCORE_COLUMNS

MOST_CHARS = 4_000
"""Of one text on the page."""
_NAMES = {attribute.slug: attribute.name for attribute in ATTRIBUTES}
_LAST = ("uri", "width", "height", "format", "bytes", "sha256")
_HIDDEN = {"row_number", "image_id", "status", "error_code", "error", "score", "score_std", "score_probs", "phash"}
_HIDDEN |= {"attempt", "texts_truncated", "score_entropy", SCORE_VALUES, TABLE_NAME}


@dataclass(frozen=True, slots=True)
class Card:
    """One picture in a gallery."""

    number: int
    """Its place in the details."""
    name: str
    score: str
    std: str
    thumbnail: str | None


class PageImages:
    """The images of all galleries; one that is in several is told of once."""

    def __init__(self, rows: Mapping[Place, Row], thumbnails: Mapping[Place, str | None]) -> None:
        self._numbers = {place: number for number, place in enumerate(rows)}
        self._rows = rows
        self._thumbnails = thumbnails
        self.details = [_detail(row) for row in rows.values()]
        """What the page's script shows, by the number of the card."""

    @property
    def num_missing(self) -> int:
        return sum(thumbnail is None for thumbnail in self._thumbnails.values())

    def part(self, gallery: Gallery) -> dict[str, Any]:
        return {"title": gallery.title, "note": gallery.note, "members": [self._card(p) for p in gallery.places]}

    def _card(self, place: Place) -> Card:
        row = self._rows[place]
        return Card(
            number=self._numbers[place],
            name=_cut(row["image_id"], 200),
            score=_points(row["score"]),
            std=_points(row["score_std"]),
            thumbnail=self._thumbnails[place],
        )


def _detail(row: Row) -> dict[str, Any]:
    probs = row["score_probs"]
    return {
        "name": _cut(row["image_id"], 1_000),
        "score": _points(row["score"]),
        "std": _points(row["score_std"]),
        "values": row[SCORE_VALUES] if probs else None,
        "probs": [round(value, 4) for value in probs] if probs else None,
        "facts": [[name, _cut(text, MOST_CHARS)] for name, text in _known(row)],
    }


def _known(row: Row) -> Iterator[tuple[str, str]]:
    """The texts, then the manifest's own columns and what generators wrote, then the file."""
    for slug, name in _NAMES.items():
        if row.get(slug):
            yield name, row[slug]
    for name, value in row.items():
        if name not in _HIDDEN and name not in SCORE_COLUMNS and value is not None:
            yield name, str(value)
    for name in _LAST:
        if row.get(name) is not None:
            yield name, str(row[name])


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _cut(text: str, most: int) -> str:
    """At most so many characters, and control characters as text."""
    return without_controls(text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)")
