"""A selection cut into units that are copied whole, and the record in DEST of those that are done.

A unit is done if and only if its part is under `.materialize/`: a Parquet file with a row for each image, which says
what file it is in, or why it was not copied. The name of a part has its counts, so that a listing tells how far the run
is.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.curation.materialize.images import Failure, Wanted
from artimuse.io.folder import Folder
from artimuse.io.reading import open_input
from artimuse.table.checked import WRITE_OPTIONS, read_checked
from artimuse.table.schema import described

PARTS = ".materialize"
ROWS_PER_UNIT = 4096
"""Entries of a unit of files, which a killed run looks at again."""
_BATCH_ROWS = 1024
_PART_NAME = re.compile(r"(\d{7,})-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)\.parquet")

PART_SCHEMA = pa.schema(
    [
        described("number", pa.int64(), "place of the row in the selection, from 0", nullable=False),
        described("table_name", pa.string(), "which of the tables the image is from", nullable=False),
        described("row_number", pa.int64(), "its row there", nullable=False),
        described("image_id", pa.string(), "its id there", nullable=False),
        described("file", pa.string(), "where it is in DEST; `x.tar#member`, `x.parquet#row`; null if not copied"),
        described("error_code", pa.string(), "null if copied"),
        described("error", pa.string(), "null if copied; what went wrong, for a person"),
    ]
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Entries that follow each other."""

    number: int
    first: int
    num_entries: int

    @property
    def end(self) -> int:
        return self.first + self.num_entries


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of the entries of one unit, or of several."""

    num_entries: int = 0
    num_failed: int = 0
    num_mapped: int = 0
    """Images whose names are not their keys."""
    num_bare: int = 0
    """Images without a caption, where captions were asked for."""
    num_unread: int = 0
    """Images with a suffix that the format's reader leaves out."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.num_entries + other.num_entries,
            self.num_failed + other.num_failed,
            self.num_mapped + other.num_mapped,
            self.num_bare + other.num_bare,
            self.num_unread + other.num_unread,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one image."""

    number: int
    image: Wanted
    file: str | None
    failure: Failure | None = None


def equal_units(num_entries: int) -> list[Unit]:
    """Units of `ROWS_PER_UNIT`, the last one smaller."""
    firsts = range(0, num_entries, ROWS_PER_UNIT)
    return [Unit(number, first, min(ROWS_PER_UNIT, num_entries - first)) for number, first in enumerate(firsts)]


def bounded_units(weights: Iterable[int], *, most: int, max_entries: int) -> list[Unit]:
    """Units of entries whose weights add up to no more than `most`, unless a single one has more."""
    units: list[Unit] = []
    first = end = total = 0
    for weight in weights:
        if end > first and (total + weight > most or end - first == max_entries):
            units.append(Unit(len(units), first, end - first))
            first, total = end, 0
        end += 1
        total += weight
    return [*units, Unit(len(units), first, end - first)] if end > first else units


def read_units(location: str, units: Sequence[Unit], columns: Sequence[str]) -> Iterator[tuple[Unit, pa.Table]]:
    """The rows of these units, which are in order; row groups without any of them are not read."""
    with open_input(location) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
        start = 0
        waiting: list[pa.RecordBatch] = []
        left = list(reversed(units))
        for group in range(parquet.metadata.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            if left and left[-1].first < end:
                for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    waiting.append(batch)
                    start += batch.num_rows
                    yield from _whole_units(waiting, start, left)
            start = end


def _whole_units(waiting: list[pa.RecordBatch], end: int, left: list[Unit]) -> Iterator[tuple[Unit, pa.Table]]:
    """Those whose last row is among the waiting ones, which end before row `end`. What nobody needs is dropped."""
    while left and left[-1].end <= end:
        unit = left.pop()
        rows = pa.Table.from_batches(waiting)
        yield unit, rows.slice(unit.first - (end - len(rows)), unit.num_entries)
    first_needed = left[-1].first if left else end
    while waiting and end - sum(batch.num_rows for batch in waiting[1:]) <= first_needed:
        waiting.pop(0)


def read_parts(output: Folder) -> dict[int, tuple[str, Counts]]:
    """Name and counts of the part of each unit that is done."""
    found = {}
    for name in output.names(PARTS):
        if match := _PART_NAME.fullmatch(name):
            number, *counts = map(int, match.groups())
            found[number] = (name, Counts(*counts))
    return found


def write_part(output: Folder, unit: Unit, outcomes: Sequence[Outcome], counts: Counts) -> None:
    """Says that the unit is done."""
    name = f"{unit.number:07d}-" + "-".join(map(str, astuple(counts))) + ".parquet"
    rows = [
        (
            outcome.number,
            outcome.image.table_name,
            outcome.image.row_number,
            outcome.image.image_id,
            outcome.file,
            outcome.failure and outcome.failure.code,
            outcome.failure and outcome.failure.message,
        )
        for outcome in outcomes
    ]
    columns = zip(*rows) if rows else [()] * len(PART_SCHEMA)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, PART_SCHEMA)], PART_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **WRITE_OPTIONS)
    output.write(f"{PARTS}/{name}", buffer.getvalue())


def read_part(output: Folder, name: str) -> pa.Table:
    """Raises BadOutput if it cannot be read."""
    with output.open(f"{PARTS}/{name}") as file:
        return read_checked(file)
