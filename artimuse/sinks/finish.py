"""The end of a shard: nothing twice, later attempts put in their place, and few files.

Every step may be repeated, and a crash between any two leaves parts from which the next run goes on.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.sinks.parts import PARTS, STAGED, RowNumbers, read_part, shard_parts, store_part
from artimuse.storage import Folder

# A merged part is held in memory by the process that merges it; a shard of scores alone is about 30 MB.
MAX_PART_BYTES = 128 * 2**20


def finish_shard(output: Folder, shard: int, *, is_complete: bool) -> None:
    """Tidies the parts of one shard.

    A row that stands in several parts stays in one. Staged rows take the place of those of the same number. The
    parts of a complete shard become as few as `MAX_PART_BYTES` allows.
    """
    _remove_overlaps(output, shard)
    _apply_staged(output, shard)
    if is_complete:
        _compact(output, shard)


def _remove_overlaps(output: Folder, shard: int) -> None:
    """Keeps the largest parts whole: after an interrupted compaction that is the merged part."""
    seen: RowNumbers = np.empty(0, dtype=np.int64)
    for name, numbers in sorted(_row_numbers(output, shard), key=lambda part: (-len(part[1]), part[0])):
        new = np.setdiff1d(numbers, seen, assume_unique=True)
        if len(new) < len(numbers):
            rows = read_part(output, PARTS, name)
            if len(new) and rows is not None:
                store_part(output, PARTS, shard, rows.filter(pc.is_in(rows["row_number"], pa.array(new))))
            output.remove(f"{PARTS}/{name}")
        seen = np.union1d(seen, new)


def _apply_staged(output: Folder, shard: int) -> None:
    """Rewrites each part that has staged rows under its own name, then forgets the staged rows."""
    names = shard_parts(output, STAGED, shard)
    staged = _latest([rows for name in names if (rows := read_part(output, STAGED, name)) is not None])
    if staged is not None:
        for name, numbers in _row_numbers(output, shard):
            newer = staged.filter(pc.is_in(staged["row_number"], pa.array(numbers)))
            older = read_part(output, PARTS, name) if len(newer) else None
            if older is not None:
                is_kept = pc.invert(pc.is_in(older["row_number"], newer["row_number"].combine_chunks()))
                store_part(output, PARTS, shard, pa.concat_tables([older.filter(is_kept), newer]))
    for name in names:
        output.remove(f"{STAGED}/{name}")


def _latest(staged: Sequence[pa.Table]) -> pa.Table | None:
    """One row per number, the one of the latest attempt; None if there is none."""
    if not staged:
        return None
    rows = pa.concat_tables(staged).sort_by([("row_number", "ascending"), ("attempt", "descending")])
    numbers = rows["row_number"].to_numpy()
    return rows.filter(pa.array(np.append(True, np.diff(numbers) > 0)))


def _compact(output: Folder, shard: int) -> None:
    for names in _groups(output, shard):
        parts = [read_part(output, PARTS, name) for name in names]
        if all(part is not None for part in parts):
            store_part(output, PARTS, shard, pa.concat_tables(parts))
            for name in names:
                output.remove(f"{PARTS}/{name}")


def _groups(output: Folder, shard: int) -> Iterator[Sequence[str]]:
    """Runs of two or more parts that fit into one."""
    group: list[str] = []
    group_bytes = 0
    for name in shard_parts(output, PARTS, shard):
        num_bytes = output.size(f"{PARTS}/{name}")
        if group and group_bytes + num_bytes > MAX_PART_BYTES:
            if len(group) > 1:
                yield group
            group, group_bytes = [], 0
        group.append(name)
        group_bytes += num_bytes
    if len(group) > 1:
        yield group


def _row_numbers(output: Folder, shard: int) -> Iterator[tuple[str, RowNumbers]]:
    for name in shard_parts(output, PARTS, shard):
        part = read_part(output, PARTS, name, ["row_number"])
        if part is not None:
            yield name, part["row_number"].to_numpy()
