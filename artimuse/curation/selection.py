"""The files that `artimuse select` writes: what was kept, or pairs of it, and beside it what was dropped and why.

`x.parquet` has the rows that were kept, whole and in the order of the tables, or with --pairs a row for each pair.
`x.dropped.parquet` has a line for every other row, with the one reason that dropped it. The metadata of both say which
tables they are from, what was asked for, and the counts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.io.reading import open_input

Kind = Literal["rows", "pairs", "dropped"]

METADATA_KEY = b"artimuse_selection"
SUFFIX = ".parquet"
_BATCH_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionFacts:
    """What a selection is made of, as its metadata keep it."""

    kind: Kind
    artimuse: str
    """The version that made it."""
    tables: Mapping[str, str]
    """Location of the output of `artimuse score` by `table_name`."""
    fingerprints: Mapping[str, str]
    """What tells the tables from others at the same place, by `table_name`."""
    settings: Mapping[str, Any]
    """What was asked for, by option."""
    num_rows: int
    """Of all tables together."""
    num_kept: int
    dropped: Mapping[str, int]
    """Number of rows by the reason that dropped them."""
    num_pairs: int | None = None
    num_ties: int | None = None
    """Pairs of a prompt that were closer than the margin."""
    num_more_pairs: int | None = None
    """Pairs beyond --pairs-per-prompt."""

    def as_metadata(self) -> dict[bytes, bytes]:
        return {METADATA_KEY: json.dumps(asdict(self), ensure_ascii=False).encode()}


@dataclass(frozen=True, slots=True)
class Selection:
    """A file of kept rows, or of pairs."""

    location: str
    facts: SelectionFacts
    schema: pa.Schema

    @classmethod
    def at(cls, location: str) -> "Selection":
        """Raises BadInput if nothing there was written by `artimuse select`."""
        with open_input(location) as file, pq.ParquetFile(file) as parquet:
            schema = parquet.schema_arrow
        saved = (schema.metadata or {}).get(METADATA_KEY)
        if saved is None:
            raise BadInput(f"{location}: not a selection; `artimuse select TABLE --to {location}` writes one")
        facts = SelectionFacts(**json.loads(saved))
        if facts.kind == "dropped":
            raise BadInput(f"{location}: these are the rows that were dropped; name the selection beside it")
        return cls(location, facts, schema)

    @property
    def tables(self) -> dict[str, Folder]:
        """The outputs of `artimuse score` by `table_name`."""
        return {name: Folder.at(location) for name, location in self.facts.tables.items()}

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in the order of the file, up to 1,024 at a time."""
        with open_input(self.location) as file, pq.ParquetFile(file) as parquet:
            yield from parquet.iter_batches(_BATCH_ROWS, columns=columns)


def dropped_name(name: str) -> str:
    """`x.dropped.parquet` for `x.parquet`."""
    return f"{name.removesuffix(SUFFIX)}.dropped{SUFFIX}"


def split_location(location: str) -> tuple[Folder, str]:
    """The folder of a file, and its name there."""
    name = PurePosixPath(location).name
    above = location.rstrip("/").removesuffix(name).rstrip("/")
    return Folder.at(above or ("/" if location.startswith("/") else ".")), name


def selection_location(to: str) -> tuple[Folder, str]:
    """The folder of a new selection and its name. Raises BadInput for another suffix."""
    folder, name = split_location(to)
    if not name.endswith(SUFFIX) or name == SUFFIX:
        raise BadInput(f"--to {to}: a selection is a Parquet file; name it {name or 'selection'}{SUFFIX}")
    return folder, name
