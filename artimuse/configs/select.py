"""`artimuse select`: what there is to choose."""

import re
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tyro

from artimuse.configs.options import ReportOptions

Dedupe = Literal["exact", "near"]
MarginUnit = Literal["points", "std"]
REST = "*"
"""In a quota, every value that has none of its own."""


@dataclass(frozen=True, kw_only=True)
class FilesOptions:
    """What is chosen from, and where the selection goes."""

    tables: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TABLE [TABLE ...]")]
    """Outputs of `artimuse score`: directories or URLs.
    NAME=TABLE gives a table the name that the column `table_name` has; else it is the last part of the location."""
    to: str
    """The Parquet file to write, such as selection.parquet. What is dropped is written beside it."""


@dataclass(frozen=True, kw_only=True)
class ConditionOptions:
    """Which images come into question. Failed ones never do."""

    where: str | None = None
    """A condition in SQL over all columns, such as "score >= 62 and score_std < 9".
    It may call score_quantile(q), score_probability(low) and score_lower(z)."""
    dedupe: Dedupe | None = None
    """Of images that are alike keep the one with the best score. `exact`: the same bytes; `near`: perceptual hashes no
    further apart than --near-distance, also by way of others between them."""
    near_distance: int = 6
    """Bits of 64 by which the hashes of near duplicates may differ."""


@dataclass(frozen=True, kw_only=True)
class RankOptions:
    """How many of them are kept, best first."""

    best_of: str | None = None
    """Keep the best images of each value of this column, such as prompt."""
    keep: int = 1
    """How many --best-of keeps of each value."""
    quota: str | None = None
    """COLUMN=VALUE:N,VALUE:N: the best N images of each value, and none of other values. `*:N` stands for each of
    those."""
    top: int | None = None
    """Keep the best N images, or with --per the best N of each value."""
    top_percent: float | None = None
    """Keep the best P percent, at least one image of each value of --per."""
    per: str | None = None
    """The column of whose values --top and --top-percent keep the best each."""
    sample: int | None = None
    """Keep N images at random, as evenly as possible from bands of the score."""
    bands: int = 10
    """How many bands of equal width the scores 0..100 have for --sample."""
    seed: int = 0
    """The seed of --sample."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Pairs of a better and a worse image, for trainers that learn from preferences."""

    pairs: str | None = None
    """Write pairs of images with the same value of this column, such as prompt, in place of the images."""
    margin: str = "0"
    """The least difference of the two scores: points, such as 10, or such as 2std, in units of the standard deviation
    of the difference. Pairs that are closer are ties, which are counted and left out."""
    pairs_per_prompt: int = 1
    """The most pairs of each value, those of the largest difference."""


@dataclass(frozen=True, kw_only=True)
class SelectConfig(FilesOptions, ConditionOptions, RankOptions, PairOptions, ReportOptions):
    """Choose images of finished score tables: filter, deduplicate, rank, sample and pair them.

    What is asked for is done in the order of the options below.
    """

    def __post_init__(self) -> None:
        """Raises ValueError for options that contradict each other or are out of range."""
        if not self.tables:
            raise ValueError("TABLE: name at least one output of artimuse score")
        if not 0 <= self.near_distance <= 16:
            raise ValueError(f"--near-distance {self.near_distance}: expected 0 to 16 bits")
        if self.top is not None and self.top_percent is not None:
            raise ValueError("--top and --top-percent: give one of them")
        self._refuse_idle()
        if self.top_percent is not None and not 0 < self.top_percent <= 100:
            raise ValueError(f"--top-percent {self.top_percent:g}: expected more than 0 and at most 100")
        counts = {
            "--keep": self.keep,
            "--top": self.top,
            "--sample": self.sample,
            "--bands": self.bands,
            "--pairs-per-prompt": self.pairs_per_prompt,
        }
        for option, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{option} {count}: expected 1 or more")
        _ = self.quotas, self.least_margin

    def _refuse_idle(self) -> None:
        """Raises ValueError for an option that says nothing without another one."""
        goes_with = {
            "per": ("--top or --top-percent", self.top is not None or self.top_percent is not None),
            "near_distance": ("--dedupe near", self.dedupe == "near"),
            "keep": ("--best-of", self.best_of is not None),
            "bands": ("--sample", self.sample is not None),
            "seed": ("--sample", self.sample is not None),
            "margin": ("--pairs", self.pairs is not None),
            "pairs_per_prompt": ("--pairs", self.pairs is not None),
        }
        usual = {field.name: field.default for field in fields(self)}
        for name, (others, is_there) in goes_with.items():
            if getattr(self, name) != usual[name] and not is_there:
                raise ValueError(f"--{name.replace('_', '-')} goes with {others}")

    @property
    def quotas(self) -> tuple[str, dict[str, int]] | None:
        """The column of --quota, and the number of images by value. Raises ValueError."""
        if self.quota is None:
            return None
        column, equals, entries = self.quota.partition("=")
        found: dict[str, int] = {}
        for entry in entries.split(","):
            value, colon, count = entry.rpartition(":")
            if not (column and equals and colon and count.isdecimal()) or value in found:
                raise ValueError(f"--quota {self.quota}: expected COLUMN=VALUE:N,VALUE:N with each value once")
            found[value] = int(count)
        return column, found

    @property
    def least_margin(self) -> tuple[float, MarginUnit]:
        """Raises ValueError for what is no margin."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(std)?", self.margin)
        if match is None:
            raise ValueError(f"--margin {self.margin}: expected points, such as 10, or such as 2std")
        return float(match[1]), "std" if match[2] else "points"

    @property
    def settings(self) -> dict[str, object]:
        """What was asked for, by option, for the metadata of a selection: only what has a say in it."""
        asked: dict[str, object] = {"where": self.where, "dedupe": self.dedupe, "best_of": self.best_of}
        asked |= {"quota": self.quota, "top": self.top, "top_percent": self.top_percent, "per": self.per}
        asked |= {"sample": self.sample, "pairs": self.pairs}
        if self.dedupe == "near":
            asked["near_distance"] = self.near_distance
        if self.best_of is not None:
            asked["keep"] = self.keep
        if self.sample is not None:
            asked |= {"bands": self.bands, "seed": self.seed}
        if self.pairs is not None:
            asked |= {"margin": self.margin, "pairs_per_prompt": self.pairs_per_prompt}
        return {name: value for name, value in asked.items() if value is not None}
