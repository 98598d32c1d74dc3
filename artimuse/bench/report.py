"""What `artimuse bench` found: numbers for JSON, and the table that a person reads."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
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
    """The number of images in each round."""
    images_per_s: Spread
    tokens_per_s: float | None
    """Generated, of all texts together: the median of the rounds; None without texts."""
    flop_per_image: float
    """FLOP as `bench/flop.py` counts: for the engine what is needed at least, for the loop all that it does."""
    share_of_matmul: float
    """The share of the measured rate of a matrix product that these FLOP reach."""
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
        from rich.table import Table

        for line in _head(self):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column()
        for name in ("images/s", "(range)", "tokens/s", "TFLOP/image", "of matmul", "memory", "images"):
            table.add_column(name, justify="right")
        for compared in self.comparisons:
            table.add_row(compared.work, self.engine, *_cells(compared.engine))
            table.add_row("", "official loop", *_cells(compared.official))
            table.add_row("", "ratio", f"{compared.ratio.median:.2f}", _range(compared.ratio))
        console.print(table)


def _head(report: BenchReport) -> Iterator[str]:
    machine, ceilings, lengths = report.machine, report.ceilings, report.lengths
    batch = f", {report.batch_size} images per pass" if report.batch_size else ""
    yield f"{report.model} in {report.dtype} on {machine['device']} ({machine['threads']} threads){batch}"
    yield ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "transformers", "artimuse"))
    yield (
        f"limits: matmul {ceilings.matmul_flop_per_s / 1e12:.3g} TFLOP/s, memory"
        f" {ceilings.memory_bytes_per_s / 1e9:.3g} GB/s: {report.one_text_tokens_per_s:.3g} tokens/s of a single text"
    )
    yield (
        f"prompts: {lengths.score} tokens for the score, {min(lengths.texts)} to {max(lengths.texts)} for each of"
        f" {len(lengths.texts)} texts, {lengths.prefix} of them shared; each text has {lengths.answer} tokens"
    )


def _cells(result: Result) -> tuple[str, ...]:
    return (
        f"{result.images_per_s.median:.3g}",
        _range(result.images_per_s),
        f"{result.tokens_per_s:.3g}" if result.tokens_per_s else "",
        f"{result.flop_per_image / 1e12:.3g}",
        f"{result.share_of_matmul:.1%}",
        f"{result.peak_bytes / 2**30:.2f} GiB",
        f"{result.num_images:,}",
    )


def _range(spread: Spread) -> str:
    return f"({spread.low:.3g}-{spread.high:.3g})"
