"""Counts and score quantiles of a table, read back from its parts in bounded memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.io.folder import Folder
from artimuse.table.parts import PARTS, parts_by_shard, read_part

_COLUMNS = ("row_number", "error_code", "score", "texts_truncated", "format")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Hundredths of a point: quantiles of any number of rows in bounded memory.
BINS_PER_POINT = 100
NUM_BINS = 100 * BINS_PER_POINT + 1


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the score table itself says, read back from its parts."""

    num_rows: int
    errors: Mapping[str, int]
    quantiles: Mapping[str, float]
    num_described: int
    num_texts_truncated: int
    num_deep: int
    """Scored images whose grey pixels of more than 8 bits were cut off at 255."""
    shards_with_repeats: tuple[int, ...]
    """Shards with a row in two parts."""

    @property
    def num_failed(self) -> int:
        return sum(self.errors.values())


def read_table_facts(output: Folder) -> TableFacts:
    """Counts and score quantiles of all parts, one shard in memory at a time.

    A part that is damaged is removed with a warning, so that its rows come again.
    """
    num_rows = 0
    errors: Counter[str] = Counter()
    histogram = np.zeros(NUM_BINS, dtype=np.int64)
    num_described = num_truncated = num_deep = 0
    repeats = []
    for shard, names in parts_by_shard(output).items():
        found = [read_part(output, PARTS, name, _COLUMNS) for name in names]
        if not (readable := [part for part in found if part is not None]):
            continue
        parts = pa.concat_tables(readable)
        distinct, first_at = np.unique(parts["row_number"].to_numpy(), return_index=True)
        if len(distinct) < len(parts):
            repeats.append(shard)
            parts = parts.take(first_at)
        num_rows += len(parts)
        errors.update(parts["error_code"].drop_null().to_pylist())
        truncated = parts["texts_truncated"].drop_null().to_numpy()
        num_described += len(truncated)
        num_truncated += int(truncated.sum(dtype=np.int64))
        num_deep += pc.sum(pc.match_substring(parts["format"].filter(pc.is_valid(parts["score"])), " ")).as_py() or 0
        bins = np.rint(parts["score"].drop_null().to_numpy() * BINS_PER_POINT).astype(np.int64)
        histogram += np.bincount(bins, minlength=NUM_BINS)
    return TableFacts(
        num_rows, dict(errors), score_quantiles(histogram), num_described, num_truncated, num_deep, tuple(repeats)
    )


def score_quantiles(histogram: npt.NDArray[np.int64]) -> dict[str, float]:
    """Points by name, from the number of rows in each of NUM_BINS bins; empty without rows.

    Linear between neighbouring rows, as NumPy, pandas and DuckDB's quantile_cont have it.
    """
    count = int(histogram.sum())
    if not count:
        return {}
    cumulative = np.cumsum(histogram)

    def score_at(position: float) -> float:
        """The score at a place in sorted order, from 0 to count - 1."""
        below, above = np.searchsorted(cumulative, [np.floor(position), np.ceil(position)], side="right")
        return float(below + (above - below) * (position % 1)) / BINS_PER_POINT

    names = {0.0: "min", 0.5: "median", 1.0: "max"}
    return {names.get(q, f"{q:.0%}"): round(score_at(q * (count - 1)), 3) for q in QUANTILES}
