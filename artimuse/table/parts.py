"""The files of the score table: their names, and reading and storing them whole.

A part is named by the rows it holds, never by scores: an engine's scores may differ from call to call, and a part
written twice for the same rows must land on the same name.
"""

import hashlib
import io
import logging
import re
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artimuse.io.folder import Folder
from artimuse.table.checked import DAMAGED, WRITE_OPTIONS, read_checked

logger = logging.getLogger(__name__)

PARTS = "scores"
"""The folder of the score table."""
STAGED = "staged"
"""Rows that are to replace rows of the same number, until their shard is compacted."""

RowNumbers = npt.NDArray[np.int64]

_PART_NAME = re.compile(r"(?P<shard>\d{6,})-\d{12,}-\d{6,}-[0-9a-f]{12}\.parquet")


def part_name(shard: int, row_numbers: RowNumbers) -> str:
    """`SHARD-FIRST-COUNT-HASH.parquet` for sorted, distinct row numbers of one plan shard."""
    digest = hashlib.blake2b(row_numbers.astype("<i8").tobytes(), digest_size=6).hexdigest()
    return f"{shard:06d}-{row_numbers[0]:012d}-{len(row_numbers):06d}-{digest}.parquet"


def parts_by_shard(output: Folder, folder: str = PARTS) -> dict[int, list[str]]:
    """The names of all parts, in order; other files beside them are left alone."""
    parts: dict[int, list[str]] = {}
    for name in output.names(folder):
        if match := _PART_NAME.fullmatch(name):
            parts.setdefault(int(match["shard"]), []).append(name)
    return parts


def shard_parts(output: Folder, folder: str, shard: int) -> list[str]:
    """The names of one shard's parts, in order."""
    return [name for name in output.names(folder, prefix=f"{shard:06d}-") if _PART_NAME.fullmatch(name)]


def write_rows(output: Folder, rows: pa.Table, *, rows_per_shard: int, replaces: bool = False) -> str:
    """Stores rows of one plan shard as one part, unless they are there in the same or a later version.

    `replaces`: rows of the same numbers are in the table already. The new ones are staged, and take their places when
    the shard is compacted (`compaction.py`). Returns the part's name. Raises ValueError if the rows are of several
    shards, if there are none, or if one comes twice; then nothing is stored.
    """
    shards = np.unique(rows["row_number"].to_numpy() // rows_per_shard)
    if len(shards) > 1:
        raise ValueError("a part holds rows of one plan shard only")
    return store_part_once(output, STAGED if replaces else PARTS, int(shards[0]) if len(shards) else 0, rows)


def store_part_once(output: Folder, folder: str, shard: int, rows: pa.Table) -> str:
    """Does what `store_part` does, but keeps what a part of the same rows has in the same or a later version.

    So a worker that outlives its run by long cannot undo what later runs have done.
    """
    rows, name = _as_part(shard, rows)
    there = read_part(output, folder, name) if output.exists(f"{folder}/{name}") else None
    if there is not None:
        is_later = pa.array(versions(rows) > versions(there))
        if not pc.any(is_later).as_py():
            return name
        rows = pa.concat_tables([rows.filter(is_later), there.filter(pc.invert(is_later))])
    return store_part(output, folder, shard, rows)


def store_part(output: Folder, folder: str, shard: int, rows: pa.Table) -> str:
    """Stores rows of one shard, each once, in one step; returns the part's name.

    Raises ValueError if there is no row, or one comes twice.
    """
    rows, name = _as_part(shard, rows)
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, **WRITE_OPTIONS)
    output.write(f"{folder}/{name}", buffer.getvalue())
    return name


VERSION_COLUMNS = ("attempt", "texts_truncated")


def versions(rows: pa.Table) -> npt.NDArray[np.int16]:
    """Per row, what grows as it gets better: a later attempt counts more, and within one having texts."""
    has_texts = rows["texts_truncated"].is_valid().to_numpy()
    later: npt.NDArray[np.int16] = 2 * rows["attempt"].to_numpy().astype(np.int16) + has_texts
    return later


def read_part(output: Folder, folder: str, name: str, columns: Sequence[str] | None = None) -> pa.Table | None:
    """The rows of a part, or some columns of them.

    None for a part that is damaged: it is removed with a warning, so that its rows come again.
    """
    path = f"{folder}/{name}"
    try:
        with output.open(path) as file:
            return _read(file, name, columns)
    except DAMAGED:
        # Arrow raises OSError for damaged files too, so the bytes are fetched once more: a storage that fails is
        # BadOutput here, and its parts stay.
        data = output.read(path)
    try:
        return _read(io.BytesIO(data), name, columns)
    except DAMAGED as error:
        logger.warning("part unreadable, its rows are scored again part=%s error=%s", name, error)
        output.remove(path)
        return None


def _as_part(shard: int, rows: pa.Table) -> tuple[pa.Table, str]:
    """The rows in the order of their numbers, and their part's name. Raises ValueError as `store_part`."""
    rows = rows.sort_by("row_number")
    numbers = rows["row_number"].to_numpy()
    if len(numbers) == 0 or (np.diff(numbers) == 0).any():
        raise ValueError("a part needs at least one row, and each row once")
    return rows, part_name(shard, numbers)


def _read(file: BinaryIO, name: str, columns: Sequence[str] | None) -> pa.Table:
    """Raises one of DAMAGED unless the part holds the rows that its name says."""
    rows = read_checked(file, columns)
    numbers = rows["row_number"].to_numpy()
    if len(numbers) == 0 or part_name(int(name.partition("-")[0]), numbers) != name:
        raise ValueError("its rows are not those in its name")
    return rows
