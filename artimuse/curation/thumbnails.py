"""Small pictures of rows of score tables, read again from where the run has read them."""

import base64
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from artimuse.configs.limits import DecodeLimits
from artimuse.curation.tables import ScoreTable
from artimuse.errors import ArtiMuseError, RowError
from artimuse.images.decode import own_pixel_limit
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.table.plan import locations, read_plan_rows

LONG_SIDE_PX = 320
MAX_BYTES = 30_000
"""Of one picture; a page of 200 stays below 10 MB."""
NUM_THREADS = 16
_QUALITIES = (80, 60, 35, 10)
_LIMITS = DecodeLimits(max_bytes=64 * 2**20, max_pixels=100_000_000)

Place = tuple[str, int]


def thumbnails(tables: Iterable[ScoreTable], places: Iterable[Place]) -> dict[Place, str | None]:
    """`data:` URLs of WebP pictures by table_name and row_number; None for those that cannot be read here."""
    where = _locations({table.name: table for table in tables}, sorted(set(places)))
    with own_pixel_limit(), ThreadPoolExecutor(NUM_THREADS, "thumbnail") as threads:
        return dict(zip(where, threads.map(_thumbnail, where.values())))


def _locations(tables: Mapping[str, ScoreTable], places: list[Place]) -> dict[Place, Location | None]:
    found: dict[Place, Location | None] = {}
    for name, number in places:
        table = tables[name]
        shard, offset = divmod(number, table.record.plan.rows_per_shard)
        try:
            [location] = locations(read_plan_rows(table.output, shard, [offset]))
        except (ArtiMuseError, ValueError):  # a plan that is gone or damaged: the page does without pictures
            location = None
        found[name, number] = location
    return found


def _thumbnail(location: Location | None) -> str | None:
    data = None if location is None else fetch(location, _LIMITS)
    if data is None or isinstance(data, RowError):
        return None
    try:
        small = _shrunk(data)
    except Exception:  # noqa: BLE001 - image boundary: Pillow's plug-ins raise anything on hostile bytes
        return None
    return None if small is None else "data:image/webp;base64," + base64.b64encode(small).decode()


def _shrunk(data: bytes) -> bytes | None:
    """Raises what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=_LIMITS.formats) as image:
        if image.width * image.height > _LIMITS.max_pixels:
            return None
        image.draft("RGB", (LONG_SIDE_PX * 2, LONG_SIDE_PX * 2))  # JPEGs are decoded small
        picture = image.convert("RGB")
    picture.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality)
        if buffer.tell() <= MAX_BYTES:
            return buffer.getvalue()
    return None
