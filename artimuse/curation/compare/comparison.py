"""What a comparison of two score tables says: the table a person reads, and the same facts for --json."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from artimuse.curation.compare.largest import Pair
from artimuse.curation.compare.measures import Shares
from artimuse.curation.compare.shown import one_line

_DECIMALS = 6
"""Of numbers in --json: what comes after them depends on the order in which threads add up."""
_TEXT_COLUMNS = 72


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two tables."""

    table: str
    """Location of the output of `artimuse score`."""
    model: str
    """Its name, with the revision where there is one."""
    weights: str | None
    """SHA-256 of the weights; None for an engine without a network."""
    dtype: str
    engine: str
    strategy: str
    num_images: int
    num_failed: int
    mean: float | None
    """Points, of all scored images; None if there is none."""
    median: float | None
    """Points, of all scored images; None if there is none."""
    standard_deviation: float | None
    """Points, of all scored images; None if there is none."""

    @property
    def num_scored(self) -> int:
        return self.num_images - self.num_failed


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCounts:
    """What was paired."""

    by: str
    """The column."""
    noun: str
    """What is paired, in the plural: images, prompts or values of a column."""
    num_pairs: int
    num_only_a: int
    num_only_b: int
    num_unscored: int
    """In both tables, but without a score in at least one."""
    num_images_a: int
    """Scored images of A that are in pairs."""
    num_images_b: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Mean of B minus mean of A, points."""

    mean: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    num_independent: int
    """How many clusters the interval is from: pairs, or prompts where images of one prompt are a cluster. Without
    pairs, of the table that has fewer. More than 10,000 are resampled as 10,000 groups."""
    effect_size: float | None
    """Cohen's d: the mean difference in standard deviations of the scores of images, the root of the mean of the two
    variances; None if all scores are alike."""

    @property
    def is_noise(self) -> bool:
        return self.low <= 0 <= self.high

    @property
    def decimals(self) -> int:
        """So many that the interval has two digits, and that what is not 0 does not look like it."""
        smallest = min(abs(self.low), abs(self.high), abs(self.mean)) if not self.is_noise else math.inf
        size = min((self.high - self.low) / 2 or math.inf, smallest * 10)
        return 1 if math.isinf(size) else min(max(1, 1 - math.floor(math.log10(size))), _DECIMALS)

    def verdict(self, what: str) -> str:
        """One sentence; `what` is compared, such as "48 images"."""
        if self.is_noise:
            interval = f"{self._points(self.low)} and {self._points(self.high)}"
            return (
                f"within noise: {what} do not show a difference"
                f" (B - A is {self._points(self.mean)} points, 95 % between {interval})"
            )
        better, low, high = ("B", self.low, self.high) if self.mean > 0 else ("A", -self.high, -self.low)
        points = self._points(abs(self.mean))
        return f"{better} is better by {points} points (95 % between {self._points(low)} and {self._points(high)})"

    def _points(self, value: float) -> str:
        return f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareReport:
    """The outcome of `artimuse compare`."""

    a: Side
    b: Side
    pairs: PairCounts | None
    """None if nothing matches: the means of all images are compared."""
    difference: Difference
    shares: Shares
    """How often B is better in pairs; without pairs, of all pairs that an image of A can make with one of B."""
    rank_correlation: float | None
    """Spearman's, of the two scores of the pairs, -1..1; None without pairs, or with less than three."""
    largest_better: tuple[Pair, ...]
    """The pairs in which B is better by most, the largest difference first."""
    largest_worse: tuple[Pair, ...]
    """The pairs in which A is."""
    warnings: tuple[str, ...]
    seed: int
    page: str | None = None
    """Location of the page, if one was asked for."""

    @property
    def exit_status(self) -> int:
        return 0

    @property
    def verdict(self) -> str:
        if self.pairs is None:
            return self.difference.verdict(f"{self.a.num_scored + self.b.num_scored:,} images")
        return self.difference.verdict(f"{self.pairs.num_pairs:,} {self.pairs.noun}")

    def as_dict(self) -> dict[str, Any]:
        rounded: dict[str, Any] = _rounded(asdict(self))
        return {"verdict": self.verdict, **rounded, "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        for warning in self.warnings:
            console.print(Text(f"warning: {warning}", "yellow"), soft_wrap=True)
        sides = _table(2)
        for name, *values in [("", "A", "B"), *self.side_rows()]:
            sides.add_row(name, *map(Text, values))
        console.print(sides)
        facts = _table(1)
        for name, value in self.facts():
            facts.add_row(name, Text(value))
        console.print(facts)
        for title, pairs in (("B is better by most", self.largest_better), ("A is better by most", self.largest_worse)):
            if pairs:
                console.print(Text(f"\n{title}", "bold"))
                console.print(_pairs(pairs, of_images=self.pairs is not None and self.pairs.noun == "images"))
        console.print(Text(f"\n{self.verdict}", "bold"), soft_wrap=True)
        if self.page is not None:
            console.print(Text(f"page  {self.page}"), soft_wrap=True)

    def side_rows(self) -> Iterator[tuple[str, str, str]]:
        """Name of a fact, what it is of A, and of B."""
        yield "table", self.a.table, self.b.table
        yield "model", self.a.model, self.b.model
        yield "precision", _precision(self.a), _precision(self.b)
        yield "strategy", self.a.strategy, self.b.strategy
        yield "images", _images(self.a), _images(self.b)
        yield "score 0-100", _scores(self.a), _scores(self.b)

    def facts(self) -> Iterator[tuple[str, str]]:
        """Name and value of what the terminal and the page say of both tables together."""
        if self.pairs is None:
            yield "paired", "nothing: neither files nor prompts match, so the means of all images are compared"
        else:
            yield "paired", _paired(self.pairs)
        effect = self.difference.effect_size
        if effect is not None:
            yield "effect size", f"{effect:+.2f} standard deviations of the scores (Cohen's d)"
        if self.rank_correlation is not None:
            yield "rank correlation", f"{self.rank_correlation:.3f} (Spearman)"
        kind = "pairs" if self.pairs else "all pairs of an image of A and one of B"
        shares = self.shares
        yield (
            "B is",
            f"better in {shares.better:.1%} of {kind}, equal in {shares.equal:.1%}, worse in {shares.worse:.1%}",
        )
        yield "interval", self._interval()

    def _interval(self) -> str:
        num_clusters = f"{self.difference.num_independent:,}"
        if self.pairs is None:
            return (
                f"bootstrap of images, those of one prompt together: {num_clusters} clusters or more, seed {self.seed}"
            )
        if self.difference.num_independent < self.pairs.num_pairs:
            return f"bootstrap of {num_clusters} clusters: pairs of one prompt together, seed {self.seed}"
        return f"bootstrap of {num_clusters} pairs, seed {self.seed}"


def _table(num_columns: int) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", min_width=len("rank correlation"), no_wrap=True)
    for _ in range(num_columns):
        table.add_column(overflow="fold")
    return table


def _pairs(pairs: tuple[Pair, ...], *, of_images: bool) -> Table:
    """Numbers first: a text that is written from right to left must not move them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("B - A", "A", "B"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for pair in pairs:
        numbers = f"{pair.difference:+.2f}", f"{pair.a.score:.2f}", f"{pair.b.score:.2f}"
        table.add_row(*numbers, Text(one_line(_image_ids(pair) if of_images else pair.value, _TEXT_COLUMNS)))
    return table


def _image_ids(pair: Pair) -> str:
    return pair.a.image_id if pair.a.image_id == pair.b.image_id else f"{pair.a.image_id} / {pair.b.image_id}"


def _precision(side: Side) -> str:
    return f"{side.dtype}, engine {side.engine}"


def _images(side: Side) -> str:
    return f"{side.num_images:,}: {side.num_scored:,} scored, {side.num_failed:,} failed"


def _scores(side: Side) -> str:
    if side.mean is None:
        return "none"
    return f"mean {side.mean:.2f}  median {side.median:.2f}  spread {side.standard_deviation:.2f}"


def _paired(pairs: PairCounts) -> str:
    images = f" ({pairs.num_images_a:,} images of A with {pairs.num_images_b:,} of B)"
    if pairs.num_images_a == pairs.num_images_b == pairs.num_pairs:
        images = ""
    unscored = f", {pairs.num_unscored:,} failed in one of them" if pairs.num_unscored else ""
    return (
        f"{pairs.num_pairs:,} {pairs.noun} by {pairs.by}{images};"
        f" only A has {pairs.num_only_a:,}, only B {pairs.num_only_b:,}{unscored}"
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS) + 0.0
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value
