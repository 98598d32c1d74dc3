"""What `artimuse materialize` says at its end."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from artimuse.curation.materialize.record import RECORD_FILE
from artimuse.curation.materialize.units import PARTS
from artimuse.curation.selection import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterializeReport:
    """The outcome of `artimuse materialize`."""

    output: str
    format: str
    kind: Kind
    has_pairs: bool
    """Entries are pairs. In lists of pairs they are the images that are in any."""
    num_entries: int
    num_copied: int
    num_failed: int
    num_new: int
    """Those that this run has looked at."""
    errors: Mapping[str, int]
    """Images by why they could not be copied. If one image of a pair could not, the other one is a `partner`."""
    num_mapped: int
    """Files whose names are not their keys."""
    num_without_caption: int
    num_unread: int
    """Files with a suffix that the format's reader leaves out."""
    notes: Mapping[str, int]
    """What else there is to tell."""
    images_per_s: float
    phase_s: Mapping[str, float]
    max_failed: float

    @property
    def exit_status(self) -> int:
        return 3 if self.num_failed > self.max_failed * self.num_entries else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_status": self.exit_status}

    def print(self, console: Console) -> None:
        for line in self._lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        what = "pairs" if self.has_pairs else "images"
        yield f"{self.output}: {self.num_copied:,} of {self.num_entries:,} {what} as {self.format}"
        if self.num_failed:
            reasons = ", ".join(f"{count:,} {code}" for code, count in self.errors.items())
            yield f"failed: {self.num_failed:,} ({reasons}); {RECORD_FILE.name} and {PARTS}/*.parquet say which and why"
        if self.num_mapped:
            yield f"renamed: {self.num_mapped:,} keys that are no safe names of files; {PARTS}/*.parquet has both"
        if self.num_without_caption:
            yield f"without a caption: {self.num_without_caption:,}"
        if self.num_unread:
            yield f"not read by {self.format}: {self.num_unread:,} files, for their suffixes"
        for note, count in self.notes.items():
            yield f"{note}: {count:,}"
        if self.num_new:
            phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.phase_s.items())
            yield f"this run: {self.num_new:,} {what}, {self.images_per_s:.1f} per second; {phases}"
        else:
            hint = "; --retry-failed tries the failed ones again" if self.num_failed else ""
            yield f"this run: nothing to do{hint}"
