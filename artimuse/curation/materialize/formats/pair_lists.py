"""`hpsv3` and `imagereward`: each image once, under its key in `images/`, and a JSON list of the pairs."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from artimuse.curation.materialize.formats.defaults import InFiles, OfPairs
from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.materialize.formats.relations import connected, made_of
from artimuse.curation.materialize.names import NameRule
from artimuse.curation.materialize.units import PART_SCHEMA, read_part, read_parts
from artimuse.curation.selection import Selection
from artimuse.io.folder import Folder

IMAGES = "images/"
LIST = "train.json"

_DISTINCT = " UNION ".join(
    f"SELECT {side}_table_name AS table_name, {side}_row_number AS row_number, {side}_image_id AS image_id,"
    f" {side}_uri AS uri, {side}_sha256 AS sha256 FROM pairs"
    for side in ("winner", "loser")
)
_WITH_FILES = """
SELECT prompt, winner.file AS winner, loser.file AS loser FROM selected
LEFT JOIN files AS winner ON winner.table_name = winner_table_name AND winner.row_number = winner_row_number
LEFT JOIN files AS loser ON loser.table_name = loser_table_name AND loser.row_number = loser_row_number
ORDER BY pair_number
"""


class PairList(InFiles, OfPairs, ABC):
    """A format whose entries are the images that are in any pair, in the order of the tables."""

    sides: tuple[str, ...] = ("",)
    # Suffixes may be known only when an image has been read.
    naming = NameRule(folder=IMAGES, has_sidecars=True)

    def rows(self, selection: Selection, scratch: Path) -> Rows:
        distinct = f"WITH pairs AS MATERIALIZED (FROM selected) {_DISTINCT} ORDER BY table_name, row_number"
        return made_of(selection, distinct, scratch)

    def columns(self, rows: Rows, config: Any) -> list[str]:
        return []

    @abstractmethod
    def line(self, prompt: str, winner: str, loser: str, output: Folder) -> dict[str, Any]:
        """The entry of a pair in the list. `winner` and `loser` are files in DEST."""

    def finish(self, selection: Selection, output: Folder) -> Mapping[str, int]:
        """Writes the list. A pair of which an image could not be copied is left out."""
        num_left_out, separator = 0, "[\n"
        with output.writing(LIST) as path, path.open("w", encoding="utf-8") as file:
            for prompt, winner, loser in _pairs(selection, output):
                if winner is None or loser is None:
                    num_left_out += 1
                    continue
                line = self.line(prompt or "", winner, loser, output)
                file.write(separator + json.dumps(line, ensure_ascii=False))
                separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")
        return {"pairs left out, for want of an image": num_left_out} if num_left_out else {}


def _pairs(selection: Selection, output: Folder) -> Iterator[tuple[str | None, str | None, str | None]]:
    """Prompt, file of the winner, file of the loser."""
    columns = ["pair_number", "prompt"] + [
        f"{side}_{name}" for side in ("winner", "loser") for name in ("table_name", "row_number")
    ]
    with TemporaryDirectory(prefix="artimuse-") as scratch, connected(Path(scratch)) as database:
        parts = (read_part(output, name) for _, (name, _) in sorted(read_parts(output).items()))
        batches = (batch for part in parts for batch in part.to_batches())
        database.register("part_rows", pa.RecordBatchReader.from_batches(PART_SCHEMA, batches))
        database.execute("CREATE TEMP TABLE files AS SELECT table_name, row_number, file FROM part_rows")
        schema = pa.schema([selection.schema.field(name) for name in columns])
        database.register("selected", pa.RecordBatchReader.from_batches(schema, selection.batches(columns)))
        found = database.execute(_WITH_FILES)
        while rows := found.fetchmany(1024):
            yield from rows
