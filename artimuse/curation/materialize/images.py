"""The images of a selection: where their bytes are, read ahead and held against the sha256 of the score table."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from artimuse.configs.limits import DEFAULT_MAX_BYTES, DecodeLimits, HttpAccess
from artimuse.curation.selection import Selection
from artimuse.errors import BadInput, RowError
from artimuse.io.fetch import fetch
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.io.parquet_cells import close_file
from artimuse.table.plan import locations, read_plan_rows
from artimuse.table.record import RUN_FILE

NUM_THREADS = 16
"""Images read or written at a time."""
NUM_AHEAD = 64
"""Entries asked for and not yet taken."""
BYTES_AHEAD = 256 * 2**20
"""The most bytes of images in memory, unless a single one has more."""
USUAL_BYTES = 4 * 2**20
"""What an image counts for whose size the selection does not tell."""
IMAGE_COLUMNS = ("table_name", "row_number", "image_id", "uri", "sha256")
OPTIONAL_COLUMNS = ("bytes", "format")
"""What a selection of pairs does not tell."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One image that is to be copied."""

    table_name: str
    row_number: int
    image_id: str
    location: Location
    sha256: str | None
    num_bytes: int | None
    file_format: str | None
    """As the score table has it; None if the selection does not tell."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image was not copied."""

    code: str
    """An error code of the score table, or `changed`, or `partner` for the other image of a pair."""
    message: str


@dataclass(slots=True)
class Entry:
    """One image of a selection, or one pair, with what is written beside it."""

    number: int
    """Its place among all entries, from 0."""
    images: tuple[Wanted, ...]
    row: dict[str, Any]
    """The columns that the format asks for."""
    name: str = ""
    """The file of the image in DEST, without a suffix if that is not known yet; empty for formats that number."""
    is_mapped: bool = False
    """The name is not the image_id with its suffix."""


class Places:
    """Where the bytes of rows of score tables are. What is in tars or Parquet files only the tables' plans tell."""

    def __init__(self, selection: Selection) -> None:
        self._tables = selection.tables
        self._plan_of = cache(self._find_plan)

    def wanted(self, rows: pa.Table, *, side: str = "") -> list[Wanted]:
        """The images of these rows; `side` is the prefix of their columns.

        Raises BadInput if a score table is not what it was when the selection was made.
        """
        columns = {name: rows[side + name].to_pylist() for name in IMAGE_COLUMNS}
        for name in OPTIONAL_COLUMNS:
            there = side + name in rows.column_names
            columns[name] = rows[side + name].to_pylist() if there else [None] * len(rows)
        found = self._locate(columns["table_name"], columns["row_number"], columns["image_id"], columns["uri"])
        keys = zip(columns["table_name"], columns["row_number"], columns["image_id"], found)
        facts = zip(columns["sha256"], columns["bytes"], columns["format"])
        return [Wanted(*key, *fact) for key, fact in zip(keys, facts, strict=True)]

    def are_inside_files(self, table_name: str) -> bool:
        """True for images in tars or Parquet files."""
        return self._plan_of(table_name) is not None

    def max_bytes(self, table_name: str) -> int:
        """The largest file that the table's run took."""
        record = RUN_FILE.read(self._tables[table_name])
        return int(record.config.get("max_bytes", DEFAULT_MAX_BYTES)) if record else DEFAULT_MAX_BYTES

    def _find_plan(self, table_name: str) -> tuple[Folder, int] | None:
        """The output and the rows of a shard of its plan; None if its images are whole files."""
        if table_name not in self._tables:
            raise BadInput(f"the selection has rows of a table {table_name!r} that its metadata do not name")
        output = self._tables[table_name]
        record = RUN_FILE.read(output)
        if record is None:
            raise BadInput(
                f"{output.url()}: the score table {table_name!r} of the selection is not there any more. It tells where"
                " the images are: put it back, or select again from where it is now."
            )
        [first] = locations(read_plan_rows(output, 0, [0]))
        return None if first.offset is None else (output, record.plan.rows_per_shard)

    def _locate(
        self, table_names: list[str], row_numbers: list[int], image_ids: list[str], uris: list[str]
    ) -> list[Location]:
        found = [Location(uri) for uri in uris]
        by_shard: dict[tuple[str, int], list[int]] = {}
        for place, (table_name, row_number) in enumerate(zip(table_names, row_numbers)):
            plan = self._plan_of(table_name)
            if plan:
                by_shard.setdefault((table_name, row_number // plan[1]), []).append(place)
        for (table_name, shard), places in by_shard.items():
            plan = self._plan_of(table_name)
            assert plan
            output, rows_per_shard = plan
            offsets = np.array([row_numbers[place] for place in places]) - shard * rows_per_shard
            for place, location in zip(places, locations(read_plan_rows(output, shard, offsets))):
                if (location.image_id, location.uri) != (image_ids[place], uris[place]):
                    raise BadInput(
                        f"{output.url()}: its row {row_numbers[place]} is {location.image_id!r}, and was"
                        f" {image_ids[place]!r} when the selection was made; select again"
                    )
                found[place] = location
        return found


class Reader:
    """Reads ahead in threads, in bounded memory. Made once per run."""

    def __init__(self, places: Places, http: HttpAccess | None) -> None:
        self._limits = DecodeLimits(http=http)
        self._max_bytes = cache(places.max_bytes)
        self._threads = ThreadPoolExecutor(NUM_THREADS, "copy")
        self._cell_thread = ThreadPoolExecutor(1, "fetch-cell")

    def __call__(
        self, entries: Iterable[Entry], work: Callable[[Entry, Callable[[], list[bytes | Failure]]], Result]
    ) -> Generator[tuple[Entry, Result], None, None]:
        """What `work` returns for each entry, in their order. Its second argument gives the entry's images.

        Cells of Parquet files are read by one thread in the order of the entries. Nothing new begins once the iterator
        is closed; what has begun is waited for.
        """
        begun: deque[tuple[Entry, Future[Result], int]] = deque()
        num_bytes = 0
        try:
            for entry in entries:
                weight = sum(image.num_bytes or USUAL_BYTES for image in entry.images)
                while begun and (len(begun) >= NUM_AHEAD or num_bytes + weight > BYTES_AHEAD):
                    num_bytes -= begun[0][2]
                    first, future, _ = begun.popleft()
                    yield first, future.result()
                begun.append((entry, self._threads.submit(work, entry, self._reads(entry)), weight))
                num_bytes += weight
            while begun:
                first, future, _ = begun.popleft()
                yield first, future.result()
        finally:
            for _, future, _ in begun:
                future.cancel()

    def close(self) -> None:
        """Waits for what is being written."""
        self._threads.shutdown(cancel_futures=True)
        self._cell_thread.shutdown(cancel_futures=True)
        close_file()

    def _reads(self, entry: Entry) -> Callable[[], list[bytes | Failure]]:
        cells = [
            self._cell_thread.submit(self._read, image) if image.location.column is not None else None
            for image in entry.images
        ]
        return lambda: [
            cell.result() if cell else self._read(image) for image, cell in zip(entry.images, cells, strict=True)
        ]

    def _read(self, image: Wanted) -> bytes | Failure:
        """The bytes, if they are those that were scored."""
        max_bytes = self._max_bytes(image.table_name) if image.num_bytes is None else max(1, image.num_bytes)
        data = fetch(image.location, replace(self._limits, max_bytes=max_bytes))
        if isinstance(data, RowError):
            if data.code == "too_large" and image.num_bytes is not None:
                return Failure("changed", f"the file is larger than when it was scored ({data.message})")
            return Failure(data.code, data.message)
        return _checked(data, image)


def _checked(data: bytes, image: Wanted) -> bytes | Failure:
    if image.sha256 is None:
        return Failure("changed", "the score table has no sha256 of it, so nothing tells whether it is the same")
    if hashlib.sha256(data).hexdigest() != image.sha256:
        return Failure("changed", f"the file is not the one that was scored: its {len(data)} bytes have another sha256")
    return data


def failures(data: Sequence[bytes | Failure]) -> list[Failure | None] | None:
    """What failed of the images of one entry, of which all are copied or none; None if nothing did."""
    if not any(isinstance(found, Failure) for found in data):
        return None
    partner = Failure("partner", "the other image of the pair could not be copied")
    return [found if isinstance(found, Failure) else partner for found in data]
