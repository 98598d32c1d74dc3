"""Pairs in Parquet files with the bytes of both images, named as `datasets` of Hugging Face finds them by itself."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.formats.defaults import OfPairs, pair_units
from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.units import Unit
from artimuse.table.checked import WRITE_OPTIONS

GROUP_BYTES = 64 * 2**20
"""Images of a row group, which are in memory until it is written."""


class ParquetPairs(OfPairs, ABC):
    """Implements `interface.ShardFormat`, apart from the rows."""

    schema: pa.Schema

    @abstractmethod
    def row(self, entry: Entry, images: Sequence[bytes]) -> dict[str, Any]:
        """The row of a pair; the winner's bytes come first in `images`."""

    def units(self, rows: Rows, config: MaterializeConfig) -> list[Unit]:
        return pair_units(rows, config)

    def file(self, unit: Unit, num_units: int) -> str:
        return f"data/train-{unit.number:05d}-of-{num_units:05d}.parquet"

    @contextmanager
    def writer(self, path: Path, unit: Unit, config: MaterializeConfig) -> Iterator["PairShard"]:
        with pq.ParquetWriter(path, self.schema, **WRITE_OPTIONS) as file:
            shard = PairShard(self, file)
            yield shard
            shard.write_group()


class PairShard:
    """Implements `interface.ShardWriter`."""

    def __init__(self, layout: ParquetPairs, file: pq.ParquetWriter) -> None:
        self._layout = layout
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._num_written = 0
        self._num_bytes = 0

    def add(self, entry: Entry, images: Sequence[bytes]) -> tuple[str, ...]:
        self._rows.append(self._layout.row(entry, images))
        self._num_bytes += sum(map(len, images))
        place = self._num_written + len(self._rows) - 1
        if self._num_bytes >= GROUP_BYTES:
            self.write_group()
        return tuple(str(place) for _ in images)

    def write_group(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, self._layout.schema))
            self._num_written += len(self._rows)
            self._rows, self._num_bytes = [], 0


def winner_is_first(entry: Entry) -> bool:
    """The same in every run and independent of everything else about the pair: each half of the time."""
    winner, loser = entry.images
    digest = hashlib.blake2b(f"{winner.sha256} {loser.sha256} {entry.number}".encode(), digest_size=1).digest()
    return digest[0] % 2 == 0
