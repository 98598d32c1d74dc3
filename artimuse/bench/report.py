"""What `artimuse bench` found: numbers for JSON, and the table made of them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from artimuse.bench.ceilings import Ceilings
from artimuse.bench.flop import Lengths

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of every round."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Sequence[float]) -> "Spread":
        return cls(statistics.median(rounds), min(rounds), max(rounds), tuple(rounds))


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One way of doing one kind of work."""

    num_images: int
    """In each round."""
    images_per_s: Spread
    tokens_per_s: float | None
    """Generated, of all texts together: the median of the rounds; None without texts."""
    flop_per_image: float
    """As `bench/flop.py` counts: for the engine what is needed at least, for the loop all that it does."""
    share_of_matmul: float
    """Of the measured rate of a matrix product, reached by these FLOP."""
    peak_bytes: int
    """Weights included. The official loop's is taken before the engine is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The engine and the official-style loop on the same work, in turns."""

    work: str
    engine: Result
    official: Result
    ratio: Spread
    """Images/s of the engine by those of the loop, round by round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchReport:
    """The outcome of `artimuse bench`."""

    model: str
    engine: str
    batch_size: int | None
    """Images per forward pass of the engine; None if it has no such number."""
    device: str
    dtype: str
    machine: Mapping[str, str | int]
    lengths: Lengths
    ceilings: Ceilings
    one_text_tokens_per_s: float
    """The limit for one text at a time: every token reads the language model's weights from memory once."""
    comparisons: tuple[Comparison, ...]

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def print(self, console: "Console") -> None:
        from artimuse.bench.table import print_table

        print_table(self, console)
