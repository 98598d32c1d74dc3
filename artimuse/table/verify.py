"""`artimuse verify`: proof from the files alone that every image of the plan has exactly one whole row."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from artimuse.configs.verify import VerifyConfig
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.runs.progress import RunProgress
from artimuse.table.checked import DAMAGED, read_checked
from artimuse.table.parts import PARTS, STAGED, part_name, parts_by_shard
from artimuse.table.plan import shard_name
from artimuse.table.record import RUN_FILE, ScoreRecord, Status

MAX_PROBLEMS_SHOWN = 20
DEMO_TABLE = "table"
"""Where the table is in the folder of `artimuse demo`."""
LOWEST, HIGHEST = 0.0, 100.0
"""Scores, in points."""
# What run.json says of a run that has not come to its end.
_UNFINISHED: Mapping[Status, str] = {
    "running": "a run is at work, or was killed",
    "interrupted": "the run was interrupted",
    "limited": "the run stopped at its --limit",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What `artimuse verify` found."""

    output: str
    num_images: int
    """The number of images in the plan."""
    num_rows: int
    num_failed: int
    num_parts: int
    unfinished: str | None
    """Why rows are still to come; None if the run has come to its end."""
    problems: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        return 1 if self.problems or self.unfinished else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        for line in self._lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        for problem in self.problems[:MAX_PROBLEMS_SHOWN]:
            yield f"wrong: {problem}"
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            yield f"and {len(self.problems) - MAX_PROBLEMS_SHOWN:,} more (--json lists all)"
        if self.unfinished:
            yield f"unfinished: {self.unfinished}"
        yield (
            f"{self.output}: {self._verdict()}; {self.num_images:,} images, {self.num_rows:,} rows"
            f" ({self.num_failed:,} failed), {self.num_parts:,} {'part' if self.num_parts == 1 else 'parts'}"
        )

    def _verdict(self) -> str:
        if self.problems:
            return "NOT whole"
        return "NOT finished" if self.unfinished else "whole: every image has exactly one readable row"


def run(config: VerifyConfig, console: Console) -> VerifyReport:
    """Reads every part whole, and changes nothing. Raises BadOutput if there is no run in OUTPUT."""
    output = Folder.at(config.output)
    record = RUN_FILE.read(output)
    if record is None and RUN_FILE.exists(output / DEMO_TABLE):
        output = output / DEMO_TABLE
        record = RUN_FILE.read(output)
    if record is None:
        raise BadOutput(f"{output.url()} holds no run: there is no {RUN_FILE.name}")
    parts = parts_by_shard(output)
    num_parts = sum(map(len, parts.values()))
    count = _Count(output, record.plan.rows_per_shard)
    with RunProgress(console).phase("verifying"):
        for shard in range(record.plan.num_shards):
            count.add_shard(shard, parts.pop(shard, []))
    unfinished = _unfinished(record, count)
    problems = [*count.problems, *_foreign(output, parts)]
    if not unfinished:
        problems += [*count.gaps, *_differences(record, count)]
        if output.names(STAGED):
            problems.append(
                f"{STAGED}/: rows tried again that are not in the table yet; the same command puts them there"
            )
    return VerifyReport(
        output=output.url(),
        num_images=record.plan.num_rows,
        num_rows=count.num_rows,
        num_failed=sum(count.errors.values()),
        num_parts=num_parts,
        unfinished=unfinished,
        problems=tuple(problems),
    )


class _Wrong(Exception):
    """One file is not what it should be."""


class _Count:
    """What the files hold, shard by shard."""

    def __init__(self, output: Folder, rows_per_shard: int) -> None:
        self.output = output
        self.rows_per_shard = rows_per_shard
        self.num_planned = 0
        self.num_rows = 0
        self.num_missing = 0
        self.errors: Counter[str] = Counter()
        """Failed rows by error code."""
        self.problems: list[str] = []
        self.gaps: list[str] = []
        """Images without a row: wrong in a finished run only."""

    def add_shard(self, shard: int, names: Sequence[str]) -> None:
        first_row = shard * self.rows_per_shard
        try:
            image_ids = self._planned_ids(shard, first_row)
        except _Wrong as wrong:
            self.problems.append(str(wrong))
            return
        times_seen = np.zeros(len(image_ids), dtype=np.int32)
        for name in names:
            try:
                part = _read_table(self.output, f"{PARTS}/{name}")
                _check_part(part, shard, name, first_row, image_ids)
            except _Wrong as wrong:
                self.problems.append(str(wrong))
                continue
            times_seen[part["row_number"].to_numpy() - first_row] += 1
            self.num_rows += len(part)
            self.errors.update(part["error_code"].drop_null().to_pylist())
        self.num_planned += len(image_ids)
        self.num_missing += int((times_seen == 0).sum())
        self.gaps += _named(shard, first_row, image_ids, times_seen == 0, "no row")
        self.problems += _named(shard, first_row, image_ids, times_seen > 1, "more than one row")

    def _planned_ids(self, shard: int, first_row: int) -> pa.Array:
        name = shard_name(shard)
        plan = _read_table(self.output, name, ["row_number", "image_id"])
        numbers = plan["row_number"].to_numpy()
        if len(numbers) == 0 or not np.array_equal(numbers, np.arange(first_row, first_row + len(numbers))):
            raise _Wrong(f"{name}: its images are not numbered from {first_row} on")
        return plan["image_id"].combine_chunks()


def _read_table(output: Folder, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows, every page of it read."""
    try:
        with output.open(name) as file:
            return read_checked(file, columns)
    except (BadOutput, *DAMAGED) as error:
        raise _Wrong(f"{name}: cannot be read ({(str(error).splitlines() or [''])[0]})") from error


def _check_part(part: pa.Table, shard: int, name: str, first_row: int, image_ids: pa.Array) -> None:
    path = f"{PARTS}/{name}"
    try:
        numbers = part["row_number"].to_numpy()
        part_ids = part["image_id"].combine_chunks()
        is_ok = np.array(part["status"].to_pylist()) == "ok"
        has_score, has_error = part["score"].is_valid().to_numpy(), part["error_code"].is_valid().to_numpy()
    except KeyError as error:
        raise _Wrong(f"{path}: not a part of a score table ({error.args[0]})") from error
    if len(numbers) == 0 or part_name(shard, numbers) != name:
        raise _Wrong(f"{path}: its rows are not those in its name")
    if not 0 <= numbers[0] - first_row <= numbers[-1] - first_row < len(image_ids):
        raise _Wrong(f"{path}: its rows are not of this shard")
    if not part_ids.equals(image_ids.take(pa.array(numbers - first_row))):
        raise _Wrong(f"{path}: its image_ids are not those of the plan")
    if (has_score != is_ok).any() or (has_error == is_ok).any():
        raise _Wrong(f"{path}: a failed row with a score, or a good one without")
    scores = part["score"].drop_null().to_numpy()
    if not ((scores >= LOWEST) & (scores <= HIGHEST)).all():
        raise _Wrong(f"{path}: a score that is not from {LOWEST:g} to {HIGHEST:g}")


def _named(
    shard: int, first_row: int, image_ids: pa.Array, is_concerned: npt.NDArray[np.bool_], verdict: str
) -> Iterator[str]:
    offsets = np.flatnonzero(is_concerned)
    if len(offsets):
        image_id, row = image_ids[int(offsets[0])].as_py(), first_row + int(offsets[0])
        yield f"shard {shard:06d}: images with {verdict}: {len(offsets):,}, the first is {image_id!r} (row {row})"


def _foreign(output: Folder, stray_parts: Mapping[int, Sequence[str]]) -> Iterator[str]:
    """Files that whoever reads the table as `scores/*.parquet` would take for parts of it."""
    for names in stray_parts.values():
        for name in names:
            yield f"{PARTS}/{name}: the plan has no such shard"
    ours = {name for names in parts_by_shard(output).values() for name in names}
    for name in output.names(PARTS):
        if name.endswith(".parquet") and name not in ours:
            yield f"{PARTS}/{name}: no run has written this"


def _unfinished(record: ScoreRecord, count: _Count) -> str | None:
    """What is still to come, if run.json knows that something is."""
    reason = _UNFINISHED.get(record.status)
    if reason is None:
        return None
    to_go = f"{count.num_missing:,} images have no row yet" if count.num_missing else "every image has a row"
    return f"{reason}, {to_go}; the same command goes on from there"


def _differences(record: ScoreRecord, count: _Count) -> Iterator[str]:
    """What run.json counts otherwise than the files."""
    report = record.report or {}
    counts = {
        "num_images": (report.get("num_images"), count.num_planned),
        "num_rows": (report.get("num_rows"), count.num_rows),
        "errors": (report.get("errors"), dict(count.errors)),
    }
    for name, (said, found) in counts.items():
        if said != found:
            yield f"{RUN_FILE.name}: {name} is {said}, the files have {found}"
