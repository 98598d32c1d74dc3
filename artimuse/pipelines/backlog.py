"""The rows of a table that a run has to work on, cut into units."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.table.condition import Condition
from artimuse.table.ledger import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The rows of one plan shard that become one part."""

    shard: int
    offsets: npt.NDArray[np.int32]
    """Positions within the shard."""
    attempt: int
    """1, or one more than the last time for rows that failed."""

    @property
    def key(self) -> tuple[int, int]:
        """Tells it from the other units of its graph."""
        return self.shard, int(self.offsets[0])

    @staticmethod
    def all_of(table: pa.Table) -> "list[Unit]":
        """The inverse of `as_block`, for any number of units."""
        return [
            Unit(row["shard"], np.frombuffer(row["offsets"], dtype=np.int32), row["attempt"])
            for row in table.to_pylist()
        ]

    def as_block(self) -> pa.Table:
        return pa.table({"shard": [self.shard], "offsets": [self.offsets.tobytes()], "attempt": [self.attempt]})


class ShardWatcher(Protocol):
    """Is told of every shard before its first unit."""

    def expect(self, shard: int, num_rows: int, *, is_complete: bool) -> None:
        """So many rows of it will be written. `is_complete`: with these the shard has them all."""
        ...


class Backlog(Protocol):
    """What both kinds of work have."""

    num_rows: int

    def units(self, rows_per_part: int, watcher: ShardWatcher) -> Iterator[Unit]:
        """Units in the order of the plan."""
        ...


class ScoreBacklog:
    """Rows that are not done, and failed ones if they are to be tried again."""

    def __init__(self, ledger: Ledger, *, retry_failed: Collection[str] | None, limit: int | None) -> None:
        self.ledger = ledger
        self.retry_failed = retry_failed
        self.limit = limit
        self.num_rows = self.num_retries = 0
        for _, wanted, attempts in self._wanted():
            self.num_rows += len(wanted)
            self.num_retries += int((attempts[wanted] > 1).sum())

    def units(self, rows_per_part: int, watcher: ShardWatcher) -> Iterator[Unit]:
        for shard, wanted, attempts in self._wanted():
            done = self.ledger.done_rows(shard)
            done[wanted] = True
            watcher.expect(shard, len(wanted), is_complete=bool(done.all()))
            for attempt in np.unique(attempts[wanted]):
                offsets = wanted[attempts[wanted] == attempt].astype(np.int32)
                for start in range(0, len(offsets), rows_per_part):
                    yield Unit(shard, offsets[start : start + rows_per_part], int(attempt))

    def _wanted(self) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int8]]]:
        """Shards with work to do: the offsets of the rows, and of every row of the shard the next attempt."""
        num_left = self.limit
        for shard in range(self.ledger.num_shards):
            attempts = self._attempts(shard)
            wanted = np.flatnonzero(attempts)[:num_left]
            if len(wanted):
                yield shard, wanted, attempts
            if num_left is not None:
                num_left -= len(wanted)
                if num_left == 0:
                    return

    def _attempts(self, shard: int) -> npt.NDArray[np.int8]:
        """Per row of the shard, the number of its next attempt; 0 for rows that are left alone."""
        attempts = np.where(self.ledger.done_rows(shard), 0, 1).astype(np.int8)
        if self.retry_failed is not None:
            failed = self.ledger.attempts_failed(shard, self.retry_failed)
            attempts[failed > 0] = failed[failed > 0] + 1
        return attempts


class TextBacklog:
    """Rows that are in the table, without the texts that this run is to give them."""

    def __init__(self, ledger: Ledger, condition: Condition, *, limit: int | None) -> None:
        self.ledger = ledger
        self.condition = condition
        self.limit = limit
        self.num_rows = sum(len(offsets) for _, offsets in self._wanted())

    def units(self, rows_per_part: int, watcher: ShardWatcher) -> Iterator[Unit]:
        for shard, offsets in self._wanted():
            watcher.expect(shard, len(offsets), is_complete=bool(self.ledger.done_rows(shard).all()))
            for start in range(0, len(offsets), rows_per_part):
                yield Unit(shard, offsets[start : start + rows_per_part], 1)

    def _wanted(self) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
        """Shards with work to do, and the offsets of the rows."""
        num_left = self.limit
        for shard in range(self.ledger.num_shards):
            if num_left == 0:
                return
            offsets = np.sort(self.ledger.offsets_where(shard, self.condition))[:num_left].astype(np.int32)
            if len(offsets):
                yield shard, offsets
            if num_left is not None:
                num_left -= len(offsets)
