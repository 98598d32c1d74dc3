"""The report of `artimuse bench` as a person reads it."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from artimuse.bench.report import BenchReport, Result, Spread


def print_table(report: BenchReport, console: Console) -> None:
    for line in _head(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column()
    for name in ("images/s", "(range)", "tokens/s", "TFLOP/image", "of matmul", "memory", "images"):
        table.add_column(name, justify="right")
    for compared in report.comparisons:
        table.add_row(compared.work, report.engine, *_cells(compared.engine))
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
