"""Single images on the page: what a card shows, and what the script shows of one that is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artimuse.attributes import ATTRIBUTES
from artimuse.curation.pages.galleries import Gallery, Place
from artimuse.curation.pages.render import num_bytes
from artimuse.curation.pages.thumbnails import Thumbnail
from artimuse.curation.pages.values import MAX_CHARS, name_of, shown
from artimuse.curation.tables import ScoreTable
from artimuse.table.schema import TABLE_NAME

MAX_IMAGE_BYTES = 12_000
"""Of all texts and facts of one image, as the page holds them: they are cut shorter, then the last ones left out."""
_CUTS = (MAX_CHARS, 300, 100)

# Said elsewhere in the dialog, or of no use to a reader.
_LEFT_OUT = {TABLE_NAME, "image_id", "status", "error_code", "error", "score", "score_std", "score_probs", "phash"}
_LEFT_OUT |= {"texts_truncated", "attempt", "width", "height", "bytes", *(attribute.slug for attribute in ATTRIBUTES)}


@dataclass(frozen=True, slots=True)
class Card:
    """One picture in a gallery."""

    number: int
    """Its place in the details."""
    name: str
    score: str
    std: str
    thumbnail: Thumbnail
    is_first: bool
    """False where another card before has the same picture: the page holds it once."""

    @property
    def ratio(self) -> float:
        """Width by height, within what a row of pictures can take."""
        if self.thumbnail.url is None:
            return 1.0
        return round(min(max(self.thumbnail.width / self.thumbnail.height, 0.4), 3.5), 3)


class PageImages:
    """The images of all galleries; one that is in several is told of once."""

    def __init__(
        self,
        tables: Sequence[ScoreTable],
        rows: Mapping[Place, Mapping[str, Any]],
        thumbnails: Mapping[Place, Thumbnail],
    ) -> None:
        self._rows = rows
        self._thumbnails = thumbnails
        self._numbers: dict[Place, int] = {}
        self._values = {table.name: table.values for table in tables}

    @property
    def num_missing(self) -> int:
        return sum(thumbnail.url is None for thumbnail in self._thumbnails.values())

    @property
    def num_images(self) -> int:
        return len(self._numbers)

    @property
    def details(self) -> dict[str, Any]:
        """What the page's script shows, by the number of the card. Call it after all cards are made."""
        has_several = len(self._values) > 1
        images = [_detail(self._rows[place], has_several=has_several) for place in self._numbers]
        return {"images": images, "values": self._values}

    def cards(self, gallery: Gallery) -> list[Card]:
        return [self._card(place) for place in gallery.places if place in self._rows]

    def _card(self, place: Place) -> Card:
        row = self._rows[place]
        is_first = place not in self._numbers
        return Card(
            number=self._numbers.setdefault(place, len(self._numbers)),
            name=name_of(row["image_id"]),
            score=_points(row["score"]),
            std=_points(row["score_std"]),
            thumbnail=self._thumbnails[place],
            is_first=is_first,
        )


def _detail(row: Mapping[str, Any], *, has_several: bool) -> dict[str, Any]:
    for most in _CUTS:
        texts = [(a.name, shown(row[a.slug], most)) for a in ATTRIBUTES if row.get(a.slug) is not None]
        facts = _facts(row, most, has_several=has_several)
        if num_bytes([*texts, *facts]) <= MAX_IMAGE_BYTES:
            break
    num_facts = len(facts)
    while facts and num_bytes([*texts, *facts]) > MAX_IMAGE_BYTES:
        facts = facts[: len(facts) // 2]
    if len(facts) < num_facts:
        facts.append(("more", f"{num_facts - len(facts):,} columns are in the table only"))
    return {
        "name": name_of(row["image_id"]),
        "table": row[TABLE_NAME],
        "score": _points(row["score"]),
        "std": _points(row["score_std"]),
        "probs": [round(float(share), 4) for share in row["score_probs"] or ()],
        "texts": texts,
        "facts": facts,
    }


def _facts(row: Mapping[str, Any], most: int, *, has_several: bool) -> list[tuple[str, str]]:
    """The file first, then whatever else the row has, such as the columns of a manifest."""
    facts = [("table", shown(row[TABLE_NAME], most))] if has_several else []
    if row.get("width") and row.get("height"):
        facts.append(("size", f"{row['width']:,} × {row['height']:,} pixels"))
    if row.get("bytes") is not None:
        facts.append(("file", f"{row['bytes']:,} bytes"))
    if row.get("phash") is not None:
        facts.append(("phash", f"{row['phash']:016x}"))
    others = (name for name, value in row.items() if value is not None and name not in _LEFT_OUT)
    return facts + [(name_of(name), shown(row[name], most)) for name in others]


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
