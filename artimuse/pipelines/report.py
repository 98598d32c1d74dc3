"""What a finished scoring run says: the table a person reads, and the same facts for run.json and --json."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from artimuse.pipelines.parity import ParityCertificate
from artimuse.pipelines.tally import Tally
from artimuse.sources.suffixes import describe_skipped
from artimuse.table.parts import PARTS


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreReport:
    """The outcome of `artimuse score`."""

    output: str
    model: str
    note: str | None
    """What a reader of the scores must know; None if there is nothing."""
    num_images: int
    """The number of images in the plan."""
    num_rows: int
    """The number of rows in the table: fewer than images after --limit."""
    num_failed: int
    errors: Mapping[str, int]
    """Failed rows by error code."""
    score_quantiles: Mapping[str, float]
    """Points, to a hundredth; empty if no row has a score."""
    num_described: int
    """Images that have texts."""
    num_texts_truncated: int
    """Texts that ended at --max-new-tokens."""
    num_deep: int
    """Scored images whose grey pixels of more than 8 bits were cut off at 255."""
    num_new_rows: int
    """Images that this run was the first to try; the others were done before."""
    num_retried: int
    """Failed rows of earlier runs that this run tried again."""
    num_recovered: int
    """The number of retried rows that have a score now."""
    num_newly_described: int
    """Images that got their texts from this run."""
    text_problems: Mapping[str, int]
    """Images that this run could not describe although it was to, by reason."""
    images_per_s: float
    """Images per second of this run, from the first worker's start to the last part."""
    timeline: Sequence[tuple[float, int]]
    """Seconds since the first worker began, and the images scored or described by then; at most 240 points."""
    parity: ParityCertificate | None
    """None if the run was not compared with the reference: it had nothing to do, or its engine has none."""
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
        """0, or 3 if more rows failed, or were left without their texts, than --max-failed allows."""
        num_failed = self.num_failed + sum(self.text_problems.values())
        # Divided, not multiplied: 0.29 * 100 is less than 29.
        return 3 if num_failed / max(1, self.num_rows) > self.max_failed else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

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
        num_left = self.num_images - self.num_rows
        to_go = f", {num_left:,} to go: the same command goes on from there" if num_left else ""
        scored = self.num_rows - self.num_failed
        yield "images", f"{self.num_images:,}: {scored:,} scored, {self.num_failed:,} failed{to_go}"
        for code, count in sorted(self.errors.items(), key=lambda item: -item[1]):
            yield "", f"{count:,} {code}"
        yield from describe_skipped(self.skipped)
        if self.score_quantiles:
            yield "score 0-100", "  ".join(f"{name} {value:.2f}" for name, value in self.score_quantiles.items())
        if self.num_deep:
            yield (
                "not trusted",
                f"{self.num_deep:,} of grey pixels cut off at 255: see `format`, which says deep or float",
            )
        if self.num_described or self.text_problems:
            yield "texts", self._texts()
        yield "this run", self._this_run()
        if self.parity:
            yield "as the reference", str(self.parity)
        if self.has_worked:
            yield "time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.phase_s.items())
            yield "worker time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.worker_s.items())
        yield "model", self.model
        yield "scores", f"{self.output}/{PARTS}/*.parquet"

    @property
    def has_worked(self) -> bool:
        return bool(self.num_new_rows or self.num_retried or self.num_newly_described or self.text_problems)

    def _texts(self) -> str:
        parts = [f"{self.num_described:,} images described"]
        if self.num_texts_truncated:
            parts.append(f"{self.num_texts_truncated:,} texts cut at --max-new-tokens")
        if self.text_problems:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.text_problems.items())
            parts.append(f"not possible for {sum(self.text_problems.values()):,} ({reasons})")
        return ", ".join(parts)

    def _this_run(self) -> str:
        if not self.has_worked:
            hint = f"; --retry-failed tries the {self.num_failed:,} failed again" if self.num_failed else ""
            return f"nothing to do: every image was done before{hint}"
        parts = []
        if self.num_new_rows:
            parts.append(f"{self.num_new_rows:,} images")
        if self.num_retried:
            num_failed_again = self.num_retried - self.num_recovered
            parts.append(
                f"{self.num_retried:,} failed before: {self.num_recovered:,} scored now,"
                f" {num_failed_again:,} failed again"
            )
        if self.num_newly_described:
            parts.append(f"{self.num_newly_described:,} described")
        parts.append(f"{self.images_per_s:.1f} images/s")
        earlier = self.num_rows - self.num_new_rows - self.num_retried
        return ", ".join(parts) + (f"; {earlier:,} were done before" if earlier > 0 else "")


def what_is_there(num_done: int, num_retries: int, num_images: int) -> str:
    """Said before a run that goes on."""
    again = f", of which {num_retries:,} failed ones are tried again" if num_retries else ""
    return f"{num_done:,} of {num_images:,} images are done{again}"


def how_far(num_done: int, num_images: int, tally: Tally, num_retries: int) -> str:
    """Said of a run that was stopped."""
    retried = f", {tally.num_retried:,} of {num_retries:,} failed ones were tried again" if num_retries else ""
    return f"{num_done:,} of {num_images:,} images are done{retried}; the same command goes on from there"
