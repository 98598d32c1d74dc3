"""`imagefolder` of Hugging Face's `datasets`: files under their keys, and `metadata.jsonl` with the row of each.

`README.md` tells that all of it is one split: otherwise a folder `test` in a key would become one.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artimuse.curation.materialize.formats.defaults import InFiles, OfRows
from artimuse.curation.materialize.formats.texts import plain_row, with_small_integers
from artimuse.curation.materialize.units import Unit, equal_units, read_part, read_parts, read_units
from artimuse.curation.selection import Selection
from artimuse.io.folder import Folder

METADATA = "metadata.jsonl"
FILE_NAME = "file_name"
_CARD = "README.md"
_ONE_SPLIT = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: "**"
---
"""
Row = dict[str, Any]

# Columns of these names would be taken for more images of the row.
_TAKEN = ("image", "file_name", "file_names")
_TAKEN_ENDS = ("_file_name", "_file_names")


class ImageFolder(InFiles, OfRows):
    """Implements `interface.FileFormat`."""

    def finish(self, selection: Selection, output: Folder) -> Mapping[str, int]:
        """Writes the rows that were copied.

        First those that are the first with a value in some column: the reader takes the types of all columns from the
        first 10 MB. A column without any value is left out.
        """
        copied = _Copied(selection, output)
        leaders = copied.first_with_values()
        columns = [name for name in selection.schema.names if name in leaders]
        first = set(leaders.values())
        output.write(_CARD, _ONE_SPLIT.encode())
        with output.writing(METADATA) as path, path.open("w", encoding="utf-8") as file:
            for number, row in copied.rows(columns, among=first):
                if number in first:
                    file.write(_line(row))
            for number, row in copied.rows(columns):
                if number not in first:
                    file.write(_line(row))
        return {}


class _Copied:
    """The rows of the images that are in DEST."""

    def __init__(self, selection: Selection, output: Folder) -> None:
        self.selection = selection
        self.output = output
        self.units = equal_units(selection.facts.num_kept)
        self.parts = read_parts(output)

    def first_with_values(self) -> dict[str, int]:
        """Column -> number of the first row that has something in it."""
        found: dict[str, int] = {}
        for units in (self.units[:1], self.units[1:]):
            missing = [name for name in self.selection.schema.names if name not in found]
            for unit, rows in self._tables(missing, units):
                for name in set(missing) - found.keys():
                    is_there = pc.and_(rows[_stored(name)].is_valid(), rows[FILE_NAME].is_valid())
                    if (place := pc.index(is_there, True).as_py()) >= 0:
                        found[name] = unit.first + place
        return found

    def rows(self, columns: Sequence[str], *, among: Collection[int] | None = None) -> Iterator[tuple[int, Row]]:
        """Number and columns of each, with the file. `among`: only units that have these numbers."""
        units = self.units
        if among is not None:
            units = [unit for unit in units if any(unit.first <= number < unit.end for number in among)]
        for unit, rows in self._tables(columns, units):
            for place, row in enumerate(rows.to_pylist()):
                if row[FILE_NAME] is not None:
                    yield unit.first + place, row

    def _tables(self, columns: Sequence[str], units: Sequence[Unit]) -> Iterator[tuple[Unit, pa.Table]]:
        for unit, rows in read_units(self.selection.location, units, columns):
            part = read_part(self.output, self.parts[unit.number][0])
            rows = with_small_integers(rows.select(columns))
            rows = rows.rename_columns([_stored(name) for name in columns])
            yield unit, rows.append_column(FILE_NAME, part["file"])


def _stored(name: str) -> str:
    return f"{name}_" if name in _TAKEN or name.endswith(_TAKEN_ENDS) else name


def _line(row: Row) -> str:
    named = {FILE_NAME: row.pop(FILE_NAME), **plain_row(row)}
    return json.dumps(named, ensure_ascii=False) + "\n"
