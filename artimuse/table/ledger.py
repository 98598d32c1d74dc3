"""Which rows are done, from the parts alone: a row is done if and only if it is in a readable part."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import ParquetFileFormat, ParquetFragmentScanOptions, dataset

from artimuse.errors import BadInput, BadOutput
from artimuse.interfaces import BoolArray
from artimuse.io.folder import Folder
from artimuse.table.condition import Condition
from artimuse.table.parts import PARTS, STAGED, parts_by_shard, read_part

_CHECKED = ParquetFileFormat(default_fragment_scan_options=ParquetFragmentScanOptions(page_checksum_verification=True))


class Ledger:
    """Reads a shard's parts when first asked, and keeps a bit per row."""

    def __init__(self, output: Folder, *, num_rows: int, rows_per_shard: int) -> None:
        self.output = output
        self.num_rows = num_rows
        self.rows_per_shard = rows_per_shard
        self.parts_by_shard = parts_by_shard(output)
        self.staged_shards = frozenset(parts_by_shard(output, STAGED))
        """Shards whose staged rows an interrupted run has left behind."""
        self.overlapping_shards: set[int] = set()
        """Shards with a row in two parts, among those read so far."""
        self._packed: dict[int, npt.NDArray[np.uint8]] = {}
        self._num_failed: dict[int, int] = {}

    @property
    def num_shards(self) -> int:
        return -(-self.num_rows // self.rows_per_shard)

    def num_shard_rows(self, shard: int) -> int:
        return min(self.rows_per_shard, self.num_rows - shard * self.rows_per_shard)

    def done_rows(self, shard: int) -> BoolArray:
        """One flag per row of the plan shard. A part that cannot be read is removed, so that its rows come again."""
        if shard not in self._packed:
            self._packed[shard] = np.packbits(self._read_done_rows(shard))
        return np.unpackbits(self._packed[shard], count=self.num_shard_rows(shard)).astype(np.bool_)

    def fragmented_shards(self) -> set[int]:
        """Complete shards in more than one part: those a run was killed before compacting, and very large ones."""
        several = [shard for shard, names in self.parts_by_shard.items() if len(names) > 1]
        return {shard for shard in several if self.done_rows(shard).all()}

    def num_done(self) -> int:
        return sum(int(self.done_rows(shard).sum()) for shard in range(self.num_shards))

    def num_failed(self) -> int:
        """Rows that are done, without a score."""
        self.num_done()
        return sum(self._num_failed.values())

    def attempts_failed(self, shard: int, codes: Collection[str]) -> npt.NDArray[np.int8]:
        """Per row of the shard, how often it was tried if it failed with one of the codes (any, if none); else 0."""
        attempts = np.zeros(self.num_shard_rows(shard), dtype=np.int8)
        self.done_rows(shard)  # removes the parts that cannot be read
        for name in self.parts_by_shard.get(shard, []):
            part = read_part(self.output, PARTS, name, ["row_number", "error_code", "attempt"])
            if part is not None:
                has_failed = pc.is_in(part["error_code"], pa.array(codes)) if codes else pc.is_valid(part["error_code"])
                failed = part.filter(has_failed)
                attempts[self._offsets(shard, name, failed)] = failed["attempt"].to_numpy()
        return attempts

    def offsets_where(self, shard: int, condition: Condition) -> npt.NDArray[np.int64]:
        """Offsets of the shard's rows that fulfil a condition. Reads the columns that it needs, and no more."""
        self.done_rows(shard)  # removes the parts that cannot be read
        names = self.parts_by_shard.get(shard, [])
        if not names:
            return np.empty(0, dtype=np.int64)
        try:
            return self._selected(shard, names, condition)
        except BadInput:
            damaged = [name for name in names if read_part(self.output, PARTS, name, condition.schema.names) is None]
            if not damaged:
                raise
        # They are removed now, and their rows come again.
        self._packed.pop(shard, None)
        self.parts_by_shard[shard] = [name for name in names if name not in damaged]
        return self.offsets_where(shard, condition)

    def _selected(self, shard: int, names: Sequence[str], condition: Condition) -> npt.NDArray[np.int64]:
        paths = [self.output.path(f"{PARTS}/{name}") for name in names]
        filesystem = self.output.arrow_filesystem
        parts = dataset(paths, schema=condition.schema, filesystem=filesystem, format=_CHECKED)
        return np.unique(condition.select(parts)) - shard * self.rows_per_shard

    def _read_done_rows(self, shard: int) -> BoolArray:
        done, failed = (np.zeros(self.num_shard_rows(shard), dtype=np.bool_) for _ in range(2))
        readable = []
        for name in self.parts_by_shard.get(shard, []):
            part = read_part(self.output, PARTS, name, ["row_number", "error_code"])
            if part is not None:
                readable.append(name)
                offsets = self._offsets(shard, name, part)
                if done[offsets].any():
                    self.overlapping_shards.add(shard)
                done[offsets] = True
                failed[offsets] = part["error_code"].is_valid().to_numpy()
        self._num_failed[shard] = int(failed.sum())
        if readable:
            self.parts_by_shard[shard] = readable
        else:
            self.parts_by_shard.pop(shard, None)
        return done

    def _offsets(self, shard: int, name: str, part: pa.Table) -> npt.NDArray[np.int64]:
        offsets: npt.NDArray[np.int64] = part["row_number"].to_numpy() - shard * self.rows_per_shard
        if ((offsets < 0) | (offsets >= self.num_shard_rows(shard))).any():
            raise BadOutput(f"{self.output.url(PARTS)}/{name}: has rows that the plan has not; take it away")
        return offsets
