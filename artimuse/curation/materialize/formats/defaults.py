"""What most formats have in common: their entries are the rows of the selection."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.formats.interface import PAIR, Rows
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.names import NameRule, suffix_of_name
from artimuse.curation.materialize.units import Unit, bounded_units, equal_units, read_units
from artimuse.curation.selection import Kind, Selection
from artimuse.io.folder import Folder

MAX_ENTRIES_PER_SHARD = 10_000
_USUAL_PX = 1024


class OfRows:
    """A format of selected images."""

    kind: Kind = "rows"
    sides: tuple[str, ...] = ("",)
    takes_caption = False

    def rows(self, selection: Selection, scratch: Path) -> Rows:
        num_rows = selection.facts.num_kept if self.kind == "rows" else selection.facts.num_pairs or 0
        return Rows(selection.location, selection.schema, num_rows)

    def columns(self, rows: Rows, config: MaterializeConfig) -> Sequence[str]:
        return [config.caption] if config.caption else []

    def finish(self, selection: Selection, output: Folder) -> Mapping[str, int]:
        return {}


class OfPairs(OfRows):
    """A format of pairs."""

    kind: Kind = "pairs"
    sides: tuple[str, ...] = PAIR

    def columns(self, rows: Rows, config: MaterializeConfig) -> Sequence[str]:
        return ["pair_number", "prompt"]


class InFiles:
    """A file for each image, named by its key."""

    naming: NameRule | None = NameRule()
    read_suffixes: frozenset[str] | None = None

    def files(self, entry: Entry, suffixes: Sequence[str]) -> tuple[str, ...]:
        return (entry.name if suffix_of_name(entry.name) else entry.name + suffixes[0],)

    def texts(self, entry: Entry, files: Sequence[str]) -> dict[str, str]:
        return {}


def pair_units(rows: Rows, config: MaterializeConfig) -> list[Unit]:
    """Of about --shard-mb each. A selection of pairs tells no sizes of files: a pixel counts for a byte."""
    columns = [side + name for side in PAIR for name in ("width", "height")]

    def weights() -> Iterator[int]:
        for _, table in read_units(rows.location, equal_units(rows.num_rows), columns):
            sides = [[size or _USUAL_PX for size in table[name].to_pylist()] for name in columns]
            yield from (width_0 * height_0 + width_1 * height_1 for width_0, height_0, width_1, height_1 in zip(*sides))

    return bounded_units(weights(), most=config.shard_bytes, max_entries=MAX_ENTRIES_PER_SHARD)
