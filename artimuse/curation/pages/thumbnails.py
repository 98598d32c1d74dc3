"""Small pictures of rows, read again from where the run has read them. Whatever cannot be had has a reason instead."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
from PIL import Image

from artimuse.configs.limits import DecodeLimits, HttpAccess
from artimuse.curation.pages.galleries import Place
from artimuse.curation.tables import ScoreTable
from artimuse.errors import BadInput, BadOutput, RowError
from artimuse.images.decode import own_pixel_limit
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.sources.uris import check_uris
from artimuse.table.plan import locations, read_plan_rows

NUM_THREADS = 16
MAX_BYTES, MAX_PIXELS = 64 * 2**20, 100_000_000
UNREADABLE = "unreadable"
"""The reason for bytes that are there and no picture."""
_QUALITIES = (82, 70, 50, 25)
# Noise is large in any quality: it gets fewer pixels.
_SCALES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a picture may be, so that the page stays small."""

    long_side_px: int
    max_bytes: int


SMALL = Size(320, 20_000)
LARGE = Size(640, 48_000)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture, or why there is none."""

    url: str | None
    """`data:` with WebP."""
    width: int
    """Pixels, at which it is shown."""
    height: int
    reason: str | None = None
    """An error code, or UNREADABLE."""


def thumbnails(
    tables: Sequence[ScoreTable], sizes: Mapping[Place, Size], http: HttpAccess | None
) -> dict[Place, Thumbnail]:
    """Pictures of the images at these places.

    Web servers are asked if `http` says so, whatever a table tells: it may be a stranger's, and so are its addresses.
    """
    limits = DecodeLimits(max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, http=http)
    with own_pixel_limit(), ThreadPoolExecutor(NUM_THREADS, "thumbnail") as threads:
        where: dict[Place, Location | None] = {}
        for found in threads.map(lambda shard: _locations(*shard), _shards(tables, sizes)):
            where |= found
        made = threads.map(lambda place: _thumbnail(where.get(place), sizes[place], limits), sizes)
        return dict(zip(sizes, made))


def _shards(tables: Sequence[ScoreTable], places: Iterable[Place]) -> list[tuple[ScoreTable, int, list[int]]]:
    """Table, shard of its plan, and places within the shard."""
    by_name = {table.name: table for table in tables}
    found = []
    for (name, shard), members in groupby(sorted(places), key=lambda place: _shard(by_name, place)):
        first = shard * by_name[name].record.plan.rows_per_shard
        found.append((by_name[name], shard, [number - first for _, number in members]))
    return found


def _shard(tables: Mapping[str, ScoreTable], place: Place) -> tuple[str, int]:
    return place[0], place[1] // tables[place[0]].record.plan.rows_per_shard


def _locations(table: ScoreTable, shard: int, offsets: list[int]) -> dict[Place, Location]:
    """None at all for a plan that is gone or damaged: the page does without pictures."""
    first = shard * table.record.plan.rows_per_shard
    try:
        found = locations(read_plan_rows(table.output, shard, np.array(offsets)))
    except (BadOutput, ValueError, KeyError):
        return {}
    return {(table.name, first + offset): location for offset, location in zip(offsets, found)}


def _thumbnail(location: Location | None, size: Size, limits: DecodeLimits) -> Thumbnail:
    data = RowError("not_found", "not in the plan") if location is None else _fetched(location, limits)
    if isinstance(data, RowError):
        return Thumbnail(None, 0, 0, data.code)
    try:
        small = _shrunk(data, size, limits)
    except Exception:  # noqa: BLE001 - image boundary: Pillow's plug-ins raise anything on hostile bytes
        return Thumbnail(None, 0, 0, UNREADABLE)
    for scale in _SCALES:
        scaled = small.reduce(scale) if scale > 1 else small
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            scaled.save(buffer, "WEBP", quality=quality)
            if buffer.tell() <= size.max_bytes:
                url = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
                return Thumbnail(url, small.width, small.height)
    raise AssertionError("a few pixels of any content are small")


def _fetched(location: Location, limits: DecodeLimits) -> bytes | RowError:
    """What a run would have refused to plan is refused here again, as the plan may be anybody's."""
    # No run plans what is inside files on web servers, and no option allows it.
    is_whole = location.offset is None and location.column is None
    try:
        uri = location.container
        check_uris(uri, pa.array([uri]), first_row=0, allow_http=is_whole)
    except BadInput as error:
        return RowError("access_denied", str(error))
    return fetch(location, limits)


def _shrunk(data: bytes, size: Size, limits: DecodeLimits) -> Image.Image:
    """Raises what Pillow raises, ValueError for a picture of too many pixels."""
    with Image.open(io.BytesIO(data), formats=limits.formats) as image:
        if image.width * image.height > limits.max_pixels:
            raise ValueError("too many pixels")
        image.draft("RGB", (size.long_side_px * 2, size.long_side_px * 2))  # JPEGs are decoded small
        picture = image.convert("RGB")
    picture.thumbnail((size.long_side_px, size.long_side_px), Image.Resampling.LANCZOS)
    return picture
