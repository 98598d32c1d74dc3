"""The score table as Parquet parts, each named by the rows it holds.

Names come from row numbers, never from scores: an engine's scores may differ from call to call, and a part written
twice for the same rows must land on the same name.
"""

import hashlib
import io
import logging
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.errors import BadOutput
from artimuse.interfaces import BoolArray, Receipt
from artimuse.sinks.run_file import read_run, refuse_mismatch
from artimuse.storage import Folder

logger = logging.getLogger(__name__)

PARTS = "scores"

_PART_NAME = re.compile(r"(?P<shard>\d{6,})-\d{12,}-\d{6,}-[0-9a-f]{12}\.parquet")
# What Arrow raised for files cut and overwritten at random (pyarrow 26).
_DAMAGED = (OSError, ValueError, KeyError, pa.ArrowException)


def part_name(shard: int, row_numbers: npt.NDArray[np.int64]) -> str:
    """`SHARD-FIRST-COUNT-HASH.parquet` for sorted, distinct row numbers of one plan shard."""
    digest = hashlib.blake2b(row_numbers.astype("<i8").tobytes(), digest_size=6).hexdigest()
    return f"{shard:06d}-{row_numbers[0]:012d}-{len(row_numbers):06d}-{digest}.parquet"


def parts_by_shard(output: Folder) -> dict[int, list[str]]:
    """The names of all parts, in order; other files beside them are left alone."""
    parts: dict[int, list[str]] = {}
    for name in output.names(PARTS):
        if match := _PART_NAME.fullmatch(name):
            parts.setdefault(int(match["shard"]), []).append(name)
    return parts


class PartsLedger:
    """Which rows are in a readable part, from the parts alone; implements `interfaces.Ledger`."""

    def __init__(self, output: Folder, *, num_rows: int, rows_per_shard: int) -> None:
        self.output = output
        self.num_rows = num_rows
        self.rows_per_shard = rows_per_shard
        self.parts_by_shard = parts_by_shard(output)
        # A bit per row: asked for twice, read once.
        self._packed: dict[int, npt.NDArray[np.uint8]] = {}

    @property
    def num_shards(self) -> int:
        return -(-self.num_rows // self.rows_per_shard)

    def done_rows(self, shard: int) -> BoolArray:
        """One flag per row of the plan shard. A part that cannot be read is removed, so that its rows come again."""
        if shard not in self._packed:
            self._packed[shard] = np.packbits(self._read_done_rows(shard))
        return np.unpackbits(self._packed[shard], count=self._num_shard_rows(shard)).astype(np.bool_)

    def num_done(self) -> int:
        return sum(int(self.done_rows(shard).sum()) for shard in range(self.num_shards))

    def _num_shard_rows(self, shard: int) -> int:
        return min(self.rows_per_shard, self.num_rows - shard * self.rows_per_shard)

    def _read_done_rows(self, shard: int) -> BoolArray:
        done = np.zeros(self._num_shard_rows(shard), dtype=np.bool_)
        for name in self.parts_by_shard.get(shard, []):
            done[self._row_numbers(shard, name) - shard * self.rows_per_shard] = True
        return done

    def _row_numbers(self, shard: int, name: str) -> npt.NDArray[np.int64]:
        path = f"{PARTS}/{name}"
        try:
            with self.output.open(path) as file:
                return _read_row_numbers(file, shard, name)
        except _DAMAGED:
            # Arrow raises OSError for damaged files too, so the bytes are fetched once more: a storage that fails is
            # BadOutput here, and its parts stay.
            data = self.output.read(path)
        try:
            return _read_row_numbers(io.BytesIO(data), shard, name)
        except _DAMAGED as error:
            logger.warning("part unreadable, its rows are scored again part=%s error=%s", name, error)
            self.output.remove(path)
            return np.empty(0, dtype=np.int64)


def _read_row_numbers(file: BinaryIO, shard: int, name: str) -> npt.NDArray[np.int64]:
    """Raises one of _DAMAGED unless the part holds the rows that its name says."""
    with pq.ParquetFile(file) as part:
        numbers: npt.NDArray[np.int64] = part.read(["row_number"])["row_number"].to_numpy()
    if len(numbers) == 0 or part_name(shard, numbers) != name:
        raise ValueError("its rows are not those in its name")
    return numbers


class ParquetSink:
    """Implements `interfaces.Sink`. Small and picklable: write tasks get a copy each."""

    def __init__(self, output: Folder, rows_per_shard: int) -> None:
        self.output = output
        self.rows_per_shard = rows_per_shard

    def open(self, fingerprints: Mapping[str, Mapping[str, Any]]) -> PartsLedger:
        """Raises BadOutput without a run.json, RunMismatch if it has other fingerprints."""
        record = read_run(self.output)
        if record is None:
            raise BadOutput(f"{self.output.url('')} has no run.json")
        refuse_mismatch(self.output, record["fingerprints"], fingerprints)
        return PartsLedger(self.output, num_rows=record["plan"]["num_rows"], rows_per_shard=self.rows_per_shard)

    def write(self, rows: pa.Table) -> Receipt:
        """Stores rows of one plan shard as one part. Raises ValueError if a row number comes twice."""
        rows = rows.sort_by("row_number")
        numbers = rows["row_number"].to_numpy()
        if len(numbers) == 0 or (np.diff(numbers) == 0).any():
            raise ValueError("a part needs at least one row, and each row once")
        shard = int(numbers[0]) // self.rows_per_shard
        if int(numbers[-1]) // self.rows_per_shard != shard:
            raise ValueError("a part holds rows of one plan shard only")
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression="zstd")
        name = part_name(shard, numbers)
        self.output.write(f"{PARTS}/{name}", buffer.getvalue())
        return Receipt(part=name, num_rows=len(numbers), num_bytes=buffer.tell())
