"""What a finished scoring run says: the table a person reads, and the same facts for run.json and --json."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artimuse.errors import BadOutput
from artimuse.sinks.parts import PARTS, parts_by_shard
from artimuse.storage import Folder

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Hundredths of a point: quantiles of any number of rows in bounded memory.
_BINS_PER_POINT = 100
_NUM_BINS = 100 * _BINS_PER_POINT + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreReport:
    """The outcome of `artimuse score`."""

    output: str
    model: str
    note: str | None
    """What a reader of the scores must know; None if there is nothing."""
    num_images: int
    """In the plan."""
    num_rows: int
    """In the table: fewer than images after --limit."""
    num_failed: int
    errors: Mapping[str, int]
    """Failed rows by error code."""
    score_quantiles: Mapping[str, float]
    """Points, to a hundredth; empty if no row has a score."""
    num_new_rows: int
    """Rows of this run; the others were there already."""
    images_per_s: float
    """Of this run, from the first worker's start to the last part."""
    phase_s: Mapping[str, float]
    """Wall-clock seconds of this run by phase."""
    worker_s: Mapping[str, float]
    """Seconds that all workers together spent fetching, decoding, scoring and writing."""
    rows_by_worker_node: Mapping[str, int]
    skipped: Mapping[str, int]
    """Files of a folder that are not images, by suffix."""
    max_failed: float

    @property
    def exit_status(self) -> int:
        """0, or 3 if more rows failed than --max-failed allows."""
        # Divided, not multiplied: 0.29 * 100 is less than 29.
        return 3 if self.num_failed / max(1, self.num_rows) > self.max_failed else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def print(self, console: Console) -> None:
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        # Text, because a path may hold what rich takes for markup.
        for name, value in self._lines():
            table.add_row(name, Text(value))
        console.print(table)
        if self.note:
            console.print(Text(f"\n{self.note}", "yellow"))

    def _lines(self) -> Iterator[tuple[str, str]]:
        to_go = f", {self.num_images - self.num_rows:,} to go" if self.num_images > self.num_rows else ""
        scored = self.num_rows - self.num_failed
        yield "images", f"{self.num_images:,}: {scored:,} scored, {self.num_failed:,} failed{to_go}"
        for code, count in sorted(self.errors.items(), key=lambda item: -item[1]):
            yield "", f"{count:,} {code}"
        if self.skipped:
            kinds = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in self.skipped.items())
            yield "not images", f"{kinds} (left out)"
        if self.score_quantiles:
            yield "score 0-100", "  ".join(f"{name} {value:.2f}" for name, value in self.score_quantiles.items())
        if self.num_new_rows:
            earlier = self.num_rows - self.num_new_rows
            yield (
                "this run",
                f"{self.num_new_rows:,} images, {self.images_per_s:.1f} images/s"
                + (f"; {earlier:,} were done before" if earlier else ""),
            )
            yield "time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.phase_s.items())
            yield "worker time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.worker_s.items())
        else:
            yield "this run", "nothing to do: every image was done before"
        yield "model", self.model
        yield "scores", f"{self.output}/{PARTS}/*.parquet"


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the score table itself says, read back from its parts."""

    num_rows: int
    errors: Mapping[str, int]
    quantiles: Mapping[str, float]

    @property
    def num_failed(self) -> int:
        return sum(self.errors.values())


def read_table_facts(output: Folder) -> TableFacts:
    """Counts and score quantiles of all parts. Raises BadOutput if a row comes twice or a part cannot be read."""
    num_seen = num_repeated = 0
    errors: Counter[str] = Counter()
    histogram = np.zeros(_NUM_BINS, dtype=np.int64)
    # A part holds rows of one shard, so one shard's row numbers are enough to know what comes twice.
    for names in parts_by_shard(output).values():
        seen: set[int] = set()
        for name in names:
            part = _read_part(output, f"{PARTS}/{name}")
            before = len(seen)
            seen.update(part["row_number"].to_pylist())
            num_repeated += len(part) - (len(seen) - before)
            errors.update(part["error_code"].drop_null().to_pylist())
            bins = np.rint(part["score"].drop_null().to_numpy() * _BINS_PER_POINT).astype(np.int64)
            histogram += np.bincount(bins, minlength=_NUM_BINS)
        num_seen += len(seen)
    if num_repeated:
        raise BadOutput(f"{output.url(PARTS)}: {num_repeated} of {num_seen + num_repeated} rows come twice")
    return TableFacts(num_seen, dict(errors), _quantiles(histogram))


def _read_part(output: Folder, name: str) -> pa.Table:
    try:
        with output.open(name) as file:
            return pq.read_table(file, columns=["row_number", "error_code", "score"])
    except (OSError, pa.ArrowException) as error:
        raise BadOutput(f"{output.url(name)}: not a readable part ({error})") from error


def _quantiles(histogram: "np.typing.NDArray[np.int64]") -> dict[str, float]:
    """Linear between neighbouring rows, as NumPy, pandas and DuckDB's quantile_cont have it."""
    count = int(histogram.sum())
    if not count:
        return {}
    cumulative = np.cumsum(histogram)

    def score_at(position: float) -> float:
        """The score at a place in sorted order, from 0 to count - 1."""
        below, above = np.searchsorted(cumulative, [np.floor(position), np.ceil(position)], side="right")
        return float(below + (above - below) * (position % 1)) / _BINS_PER_POINT

    names = {0.0: "min", 0.5: "median", 1.0: "max"}
    return {names.get(q, f"{q:.0%}"): round(score_at(q * (count - 1)), 3) for q in QUANTILES}
