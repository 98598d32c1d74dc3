"""What a training run says in the end, for a person and for --json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from artimuse.training.bad_images import named


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainReport:
    """The outcome of `artimuse train`."""

    output: str
    preset: str
    base: str
    num_examples: int
    num_images: int
    num_steps: int
    num_new_steps: int
    """Steps of this call; the others were done before."""
    num_workers: int
    """The number of workers at the end; 0 if there was nothing left to do."""
    loss: float
    """Mean over the last tenth of all steps, per answer token."""
    validation: Mapping[str, Any] | None
    """The validation of the exported checkpoint; None without validation."""
    num_validations: int
    """How often this call has validated."""
    validation_share: float
    """The share of the time of this call's steps and validations that validations took."""
    samples_per_s: float
    """Samples per second over this run's steps; 0 if there were none."""
    waiting_share: float
    """The share of the time of this run's steps that the first worker waited for pictures and tokens."""
    bad_images: Mapping[str, str]
    """Image id -> why it was left out."""
    checkpoint: int
    """Step of the exported checkpoint."""
    model: str
    """Where the exported model is."""

    @property
    def exit_status(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in self._lines():
            table.add_row(name, value)
        console.print(table)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("trained", f"{self.preset} on {self.num_examples:,} examples of {self.num_images:,} images"),
            ("steps", f"{self.num_steps:,}, {self.num_new_steps:,} of them in this run"),
            ("loss", f"{self.loss:.4f} per answer token, over the last tenth of the steps"),
        ]
        if self.validation:
            found = [f"loss {self.validation['loss']:.4f}"]
            found += [
                f"{name.upper()} {self.validation[name]:.3f}"
                for name in ("srcc", "plcc")
                if self.validation[name] is not None
            ]
            lines.append(("validation", f"{', '.join(found)} on {self.validation['num_examples']} examples"))
        if self.num_validations:
            share = f"{self.num_validations:,} in this run, {self.validation_share:.1%} of the time"
            lines.append(("validations", share))
        if self.num_new_steps:
            speed = f"{self.samples_per_s:.1f} samples/s, workers: {self.num_workers}"
            lines.append(("speed", f"{speed}, {self.waiting_share:.1%} of the time waiting for data"))
        if self.bad_images:
            how_many = f"{len(self.bad_images):,} images that cannot be read"
            lines.append(("left out", f"{how_many}: {named(self.bad_images)}"))
        return [*lines, ("model", f"{self.model} (step {self.checkpoint})")]
