"""What copying to files and copying to shards share: who is asked for what, and how a run is stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.formats.interface import Format, Rows
from artimuse.curation.materialize.formats.texts import with_small_integers
from artimuse.curation.materialize.images import IMAGE_COLUMNS, OPTIONAL_COLUMNS, Entry, Places, Reader
from artimuse.curation.materialize.units import Counts, Unit, read_units
from artimuse.errors import Interrupted
from artimuse.io.folder import Folder
from artimuse.runs.lock import Lock
from artimuse.runs.progress import RunProgress
from artimuse.runs.signals import StopRequest


class Abandoned(Interrupted):
    """The time that a stopped run had for what was in flight is over; the unit is done again."""


@dataclass(frozen=True, slots=True)
class Copying:
    """One run at work."""

    config: MaterializeConfig
    output: Folder
    rows: Rows
    places: Places
    reader: Reader
    progress: RunProgress
    stop: StopRequest
    lock: Lock
    began_at: float
    """Seconds since the epoch."""

    def entries(self, layout: Format, units: Sequence[Unit]) -> Iterator[tuple[Unit, list[Entry]]]:
        """The entries of each unit. Ends early once a stop is asked for."""
        kept = list(layout.columns(self.rows, self.config))
        asked = [side + name for side in layout.sides for name in (*IMAGE_COLUMNS, *OPTIONAL_COLUMNS)]
        columns = [name for name in self.rows.schema.names if name in {*asked, *kept}]
        for unit, table in read_units(self.rows.location, units, columns):
            if self.stop.is_set:
                return
            yield unit, self._entries(layout, unit, table, kept)

    def heed(self) -> None:
        """Raises Abandoned if what is in flight has had its time, OutputLocked if another run has taken over."""
        self.lock.check()
        if self.stop.left_s == 0:
            raise Abandoned

    def advance(self, counts: Counts) -> None:
        """Shows them."""
        self.progress.advance(rows=counts.num_entries, failed=counts.num_failed, began_at=self.began_at)

    def _entries(self, layout: Format, unit: Unit, table: pa.Table, kept: list[str]) -> list[Entry]:
        images = zip(*(self.places.wanted(table, side=side) for side in layout.sides))
        rows = with_small_integers(table.select(kept)).to_pylist() if kept else [{} for _ in range(len(table))]
        return [
            Entry(unit.first + place, group, row) for place, (group, row) in enumerate(zip(images, rows, strict=True))
        ]
