"""`artimuse verify`: proof from the files alone that every image of the plan has exactly one whole row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from artimuse.configs import VerifyConfig
from artimuse.errors import BadOutput
from artimuse.progress import RunProgress
from artimuse.sinks.parts import PARTS, STAGED, part_name, parts_by_shard
from artimuse.sinks.run_file import read_run
from artimuse.sources.plan import num_shards, shard_name
from artimuse.storage import Folder

MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What `artimuse verify` found."""

    output: str
    num_images: int
    num_rows: int
    num_failed: int
    num_parts: int
    problems: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        return 1 if self.problems else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        for problem in self.problems[:MAX_PROBLEMS_SHOWN]:
            console.print(f"wrong: {problem}", markup=False, highlight=False, soft_wrap=True)
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            console.print(f"and {len(self.problems) - MAX_PROBLEMS_SHOWN} more (--json lists all)", highlight=False)
        verdict = "NOT whole" if self.problems else "whole: every image has exactly one readable row"
        console.print(
            f"{self.output}: {verdict}; {self.num_images:,} images, {self.num_rows:,} rows"
            f" ({self.num_failed:,} failed) in {self.num_parts:,} parts",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def run(config: VerifyConfig, console: Console) -> VerifyReport:
    """Reads every part whole. Raises BadOutput if there is no run in OUTPUT."""
    output = Folder.at(config.output)
    record = read_run(output)
    if record is None:
        raise BadOutput(f"{output.url()} holds no run: there is no run.json")
    progress = RunProgress(console)
    count = _Count()
    parts = parts_by_shard(output)
    num_parts = sum(map(len, parts.values()))
    with progress.phase("verifying"):
        for shard in range(num_shards(output)):
            count.add_shard(output, shard, parts.pop(shard, []))
    stray = [f"{PARTS}/{name}: the plan has no such shard" for names in parts.values() for name in names]
    unfinished = [f"{STAGED}/ holds rows of an interrupted retry: run it again"] if output.names(STAGED) else []
    return VerifyReport(
        output=output.url(),
        num_images=count.num_images,
        num_rows=count.num_rows,
        num_failed=count.num_failed,
        num_parts=num_parts,
        problems=(*count.problems, *stray, *unfinished, *_differences(record, count)),
    )


class _Count:
    """What the files hold, shard by shard."""

    def __init__(self) -> None:
        self.num_images = 0
        self.num_rows = 0
        self.num_failed = 0
        self.problems: list[str] = []

    def add_shard(self, output: Folder, shard: int, names: Sequence[str]) -> None:
        try:
            plan = _read_table(output, shard_name(shard), ["row_number", "image_id"])
        except _Wrong as wrong:
            self.problems.append(str(wrong))
            return
        first_row = plan["row_number"][0].as_py()
        image_ids = plan["image_id"].combine_chunks()
        times_seen = np.zeros(len(plan), dtype=np.int32)
        for name in names:
            try:
                part = _read_table(output, f"{PARTS}/{name}")
                _check_part(part, shard, name, first_row, image_ids)
            except _Wrong as wrong:
                self.problems.append(str(wrong))
                continue
            times_seen[part["row_number"].to_numpy() - first_row] += 1
            self.num_rows += len(part)
            self.num_failed += len(part) - part["error_code"].null_count
        self.num_images += len(plan)
        self.problems += _uneven(shard, first_row, image_ids, times_seen)


class _Wrong(Exception):
    """One file is not what it should be."""


def _read_table(output: Folder, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows, every page of it read."""
    try:
        with output.open(name) as file:
            return pq.read_table(file, columns=columns)
    except (BadOutput, OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _Wrong(f"{name}: cannot be read ({str(error).splitlines()[0]})") from error


def _check_part(part: pa.Table, shard: int, name: str, first_row: int, image_ids: pa.Array) -> None:
    path = f"{PARTS}/{name}"
    numbers = part["row_number"].to_numpy()
    if len(numbers) == 0 or part_name(shard, numbers) != name:
        raise _Wrong(f"{path}: its rows are not those in its name")
    if not 0 <= numbers[0] - first_row <= numbers[-1] - first_row < len(image_ids):
        raise _Wrong(f"{path}: its rows are not of this shard")
    if not part["image_id"].combine_chunks().equals(image_ids.take(pa.array(numbers - first_row))):
        raise _Wrong(f"{path}: its image_ids are not those of the plan")
    has_score, is_ok = part["score"].is_valid().to_numpy(), part["error_code"].is_null().to_numpy()
    if (has_score != is_ok).any():
        raise _Wrong(f"{path}: a failed row with a score, or a good one without")


def _uneven(
    shard: int, first_row: int, image_ids: pa.Array, times_seen: "np.typing.NDArray[np.int32]"
) -> Iterator[str]:
    for count, verdict in ((times_seen == 0, "no row"), (times_seen > 1, "more than one row")):
        offsets = np.flatnonzero(count)
        if len(offsets):
            example = f"{image_ids[int(offsets[0])].as_py()!r} (row {first_row + int(offsets[0])})"
            yield f"shard {shard:06d}: {len(offsets)} images have {verdict}, the first is {example}"


def _differences(record: Mapping[str, Any], count: _Count) -> Iterator[str]:
    """Where run.json counts otherwise; an unfinished run has counted nothing yet."""
    said = {"num_rows": record["plan"]["num_rows"], **record.get("counts", {})}
    found = {"num_rows": count.num_images, "num_failed": count.num_failed}
    for name, value in found.items():
        if name in said and said[name] != value:
            yield f"run.json: {name} is {said[name]}, the files have {value}"
