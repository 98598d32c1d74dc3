"""The immutable plan of a run: every image once, numbered, in Parquet shards under `manifest/`.

Everything is answered from the files, so that a worker on another node needs the output folder and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.errors import BadOutput
from artimuse.interfaces import Source
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.table.checked import WRITE_OPTIONS, open_checked
from artimuse.table.duplicates import refuse_duplicates
from artimuse.table.schema import COLUMN, IMAGE_ID, LENGTH, OFFSET, ROW_NUMBER, URI

MANIFEST = "manifest"

LOCATION_FIELDS = (OFFSET, LENGTH, COLUMN)
"""Where in its container an image is; all null for whole files."""
_OWN_FIELDS = (ROW_NUMBER, IMAGE_ID, URI, *LOCATION_FIELDS)


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What was planned, as run.json keeps it."""

    num_rows: int
    num_shards: int
    rows_per_shard: int
    skipped: Mapping[str, int]
    """Suffix -> number of files of a folder that are no images."""


def write_plan(
    source: Source, output: Folder, *, rows_per_shard: int = 50_000, rows_per_group: int = 1024
) -> PlanFacts:
    """Numbers the rows of the source and stores them in `output`, in bounded memory.

    Raises BadInput, before anything appears in `output`, if the source is malformed or an image_id occurs twice.
    The first shard appears last: what an interrupted call leaves is written again by the next one.
    """
    if not 1 <= rows_per_group <= rows_per_shard:
        raise ValueError(f"rows_per_group {rows_per_group}: expected 1 to rows_per_shard, {rows_per_shard}")
    with TemporaryDirectory(prefix="artimuse-plan-") as name:
        scratch = Path(name)
        with _scratch_explained(scratch):
            num_rows = _write_shards(source, scratch, rows_per_shard, rows_per_group)
            refuse_duplicates(scratch)
        shards = sorted(scratch.glob("*.parquet"))
        for leftover in output.names(MANIFEST):
            output.remove(f"{MANIFEST}/{leftover}")
        for shard in reversed(shards):
            output.write(f"{MANIFEST}/{shard.name}", shard.read_bytes())
    return PlanFacts(num_rows, len(shards), rows_per_shard, dict(source.skipped))


def shard_name(shard: int) -> str:
    """Relative to the output folder."""
    return f"{MANIFEST}/{shard:06d}.parquet"


def num_shards(output: Folder) -> int:
    return len(output.names(MANIFEST))


def num_shard_rows(output: Folder, shard: int) -> int:
    with _open_shard(output, shard) as file:
        return int(file.metadata.num_rows)


def plan_passthrough_schema(output: Folder) -> pa.Schema:
    """The manifest's own columns, under the names the score table stores them."""
    with _open_shard(output, 0) as file:
        return pa.schema(list(file.schema_arrow)[len(_OWN_FIELDS) :])


def read_plan_rows(output: Folder, shard: int, offsets: Sequence[int] | npt.NDArray[np.integer]) -> pa.Table:
    """The rows at these offsets within the shard, in their order: number, id, location and passthrough columns.

    Reads only the row groups that hold them. Raises ValueError for an offset outside the shard.
    """
    wanted = np.asarray(offsets, dtype=np.int64)
    with _open_shard(output, shard) as file:
        metadata = file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < starts[-1]):
            raise ValueError(f"{shard_name(shard)} has {starts[-1]} rows; got offsets {wanted.min()} to {wanted.max()}")
        group_of_row = np.searchsorted(starts, wanted, side="right") - 1
        groups = np.unique(group_of_row)
        table = file.read_row_groups(groups.tolist(), use_threads=False)
    first_read = np.cumsum([0, *(sizes[group] for group in groups)])
    position = first_read[np.searchsorted(groups, group_of_row)] + wanted - starts[group_of_row]
    return table.take(position)


def locations(rows: pa.Table) -> list[Location]:
    """The locations of the images in rows of the plan."""
    names = ("uri", *(field.name for field in LOCATION_FIELDS), "image_id")
    return [Location(*values) for values in zip(*(rows[name].to_pylist() for name in names))]


@contextmanager
def _open_shard(output: Folder, shard: int) -> Iterator[pq.ParquetFile]:
    name = shard_name(shard)
    try:
        with output.open(name) as file, open_checked(file) as shard_file:
            yield shard_file
    except (OSError, pa.ArrowException) as error:
        raise BadOutput(f"{output.url(name)}: not a readable part of the plan ({error})") from error


def _write_shards(source: Source, scratch: Path, rows_per_shard: int, rows_per_group: int) -> int:
    """Returns the number of rows."""
    schema = pa.schema([*_OWN_FIELDS, *source.passthrough])
    groups = _row_groups(source.batches(), schema, rows_per_shard, rows_per_group)
    num_rows = 0
    for shard, groups_of_shard in groupby(groups, key=lambda group: _first_row(group) // rows_per_shard):
        path = scratch / Path(shard_name(shard)).name
        with pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
            for group in groups_of_shard:
                writer.write_table(group)
                num_rows += group.num_rows
    return num_rows


def _row_groups(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows_per_shard: int, rows_per_group: int
) -> Iterator[pa.Table]:
    """Numbers the rows and cuts batches of any size into row groups, the last one of each shard as small as needed."""
    first, waiting, num_waiting = 0, [], 0
    for batch in batches:
        waiting.append(batch)
        num_waiting += batch.num_rows
        while num_waiting >= (size := min(rows_per_group, rows_per_shard - first % rows_per_shard)):
            table = pa.Table.from_batches(waiting)
            yield _numbered(table.slice(0, size), first, schema)
            first += size
            waiting, num_waiting = table.slice(size).to_batches(), num_waiting - size
    if num_waiting:
        yield _numbered(pa.Table.from_batches(waiting), first, schema)


def _numbered(rows: pa.Table, first: int, schema: pa.Schema) -> pa.Table:
    """The location columns are null for sources of whole files."""
    rows = rows.append_column(ROW_NUMBER.name, pa.array(np.arange(first, first + rows.num_rows)))
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, schema=schema)


def _first_row(group: pa.Table) -> int:
    return int(group["row_number"][0].as_py())


@contextmanager
def _scratch_explained(scratch: Path) -> Iterator[None]:
    """Sources report their own failures as BadInput, so an OSError here is of the temporary directory."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise BadOutput(
            f"{scratch}: no plan could be made here ({error}). It needs about 100 bytes of disk per image while the "
            "plan is made; set TMPDIR to a larger disk."
        ) from error
