"""Compaction of a shard: every row once, in its latest version, in few files.

What is new is stored before anything is removed, and never instead of something later: a crash between any two
steps leaves parts from which the next call goes on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.io.folder import Folder
from artimuse.table.parts import (
    PARTS,
    STAGED,
    VERSION_COLUMNS,
    RowNumbers,
    part_name,
    read_part,
    shard_parts,
    store_part,
    versions,
)

# A merged part is held in memory by the process that merges it; a shard of scores alone is about 30 MB.
MAX_PART_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    folder: str
    name: str
    numbers: RowNumbers
    versions: npt.NDArray[np.int16]
    num_bytes: int

    @property
    def bytes_per_row(self) -> float:
        return self.num_bytes / len(self.numbers)


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Rows that are to be one part."""

    numbers: RowNumbers
    num_bytes: float
    """Estimated from the parts that the rows are in."""


def compact_shard(output: Folder, shard: int, *, is_complete: bool) -> None:
    """Makes the parts of one shard hold each row once.

    A row that stands in several parts stays in one. Staged rows, and any others of a later version, take the places of
    those of the same number. The parts of a complete shard become as few as `MAX_PART_BYTES` allows.
    """
    while not _compact_once(output, shard, is_complete=is_complete):
        pass


def _compact_once(output: Folder, shard: int, *, is_complete: bool) -> bool:
    """False if a damaged part turned up, and was removed, before everything was in its part."""
    parts = _inventory(output, shard)
    if not parts:
        return True
    targets = _rows_once(parts)
    if is_complete:
        targets = list(_merged(targets))
    latest = _Latest(parts)
    names = [part_name(shard, target.numbers) for target in targets]
    in_place = {part.name for part in parts if part.folder == PARTS and latest.has_all_of(part)}
    for name, target in zip(names, targets):
        if name not in in_place:
            rows = _gather(output, parts, latest, target.numbers)
            if rows is None:
                return False
            store_part(output, PARTS, shard, rows)
    for part in parts:
        if part.folder == STAGED or part.name not in names:
            output.remove(f"{part.folder}/{part.name}")
    return True


def _inventory(output: Folder, shard: int) -> list[_Part]:
    """All readable parts; of two with the same row the one to keep is first.

    Staged parts are last: their rows move into the others. Large parts are first: after an interrupted compaction
    that is the merged part.
    """
    found = []
    for folder in (PARTS, STAGED):
        for name in shard_parts(output, folder, shard):
            rows = read_part(output, folder, name, ["row_number", *VERSION_COLUMNS])
            if rows is not None:
                num_bytes = output.size(f"{folder}/{name}")
                found.append(_Part(folder, name, rows["row_number"].to_numpy(), versions(rows), num_bytes))
    return sorted(found, key=lambda part: (part.folder == STAGED, -len(part.numbers), part.name))


def _rows_once(parts: Sequence[_Part]) -> list[_Target]:
    targets = []
    seen: RowNumbers = np.empty(0, dtype=np.int64)
    for part in parts:
        new = np.setdiff1d(part.numbers, seen, assume_unique=True)
        if len(new):
            targets.append(_Target(new, part.bytes_per_row * len(new)))
            seen = np.union1d(seen, new)
    return targets


def _merged(targets: Iterable[_Target]) -> Iterator[_Target]:
    """Neighbours put together as long as they fit into one part."""
    group: list[_Target] = []
    for target in sorted(targets, key=lambda target: int(target.numbers[0])):
        if group and sum(member.num_bytes for member in group) + target.num_bytes > MAX_PART_BYTES:
            yield _union(group)
            group = []
        group.append(target)
    yield _union(group)


def _union(group: Sequence[_Target]) -> _Target:
    numbers = np.sort(np.concatenate([target.numbers for target in group]))
    return _Target(numbers, sum(target.num_bytes for target in group))


class _Latest:
    """Which part has the latest version of each row: the first of them, if several have it."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        numbers = np.concatenate([part.numbers for part in parts])
        versions = np.concatenate([part.versions for part in parts])
        part_indices = np.repeat(np.arange(len(parts)), [len(part.numbers) for part in parts])
        order = np.lexsort((part_indices, -versions, numbers))
        is_first = np.append(True, np.diff(numbers[order]) > 0)
        self._numbers, self._versions, self._part_indices = (
            column[order][is_first] for column in (numbers, versions, part_indices)
        )

    def has_all_of(self, part: _Part) -> bool:
        """True if no row of the part has a later version elsewhere."""
        return bool((self._versions[np.searchsorted(self._numbers, part.numbers)] == part.versions).all())

    def part_indices(self, numbers: RowNumbers) -> npt.NDArray[np.int64]:
        """The index of the part for each row."""
        part_indices: npt.NDArray[np.int64] = self._part_indices[np.searchsorted(self._numbers, numbers)]
        return part_indices


def _gather(output: Folder, parts: Sequence[_Part], latest: _Latest, numbers: RowNumbers) -> pa.Table | None:
    """These rows, each in its latest version; None if a part that holds some of them turns out damaged."""
    part_indices = latest.part_indices(numbers)
    tables = []
    for index in np.unique(part_indices):
        rows = read_part(output, parts[index].folder, parts[index].name)
        if rows is None:
            return None
        tables.append(rows.filter(pc.is_in(rows["row_number"], pa.array(numbers[part_indices == index]))))
    return pa.concat_tables(tables)
