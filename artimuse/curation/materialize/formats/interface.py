"""What a format is: how the images of a selection lie in DEST.

A `FileFormat` has a file for each image, a `ShardFormat` many images in each file. To add one: a file with either, and
its name in `FORMATS` and in `configs/materialize.py`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.names import NameRule
from artimuse.curation.materialize.units import Unit
from artimuse.curation.selection import Kind, Selection
from artimuse.io.folder import Folder

PAIR = ("winner_", "loser_")
"""The prefixes of the columns of both images of a pair."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that become entries, one each: a Parquet file, the selection itself or one made of it."""

    location: str
    schema: pa.Schema
    num_rows: int


class Format(Protocol):
    """What both kinds of formats have."""

    @property
    def kind(self) -> Kind:
        """What selections it is for."""
        ...

    @property
    def sides(self) -> tuple[str, ...]:
        """The prefixes of the columns of each image of an entry."""
        ...

    @property
    def takes_caption(self) -> bool:
        """Whether --caption says something to it."""
        ...

    def rows(self, selection: Selection, scratch: Path) -> Rows:
        """The rows of its entries. What is made of the selection is in `scratch`."""
        ...

    def columns(self, rows: Rows, config: MaterializeConfig) -> Sequence[str]:
        """Those that `Entry.row` is to have."""
        ...

    def finish(self, selection: Selection, output: Folder) -> Mapping[str, int]:
        """Writes what is about all images. Returns what there is to tell, by a few words."""
        ...


class FileFormat(Format, Protocol):
    """A file for each image."""

    @property
    def naming(self) -> NameRule | None:
        """How files are named by their keys; None if they are numbered."""
        ...

    @property
    def read_suffixes(self) -> frozenset[str] | None:
        """Suffixes of files that its reader takes, in lower case; None if it takes all."""
        ...

    def files(self, entry: Entry, suffixes: Sequence[str]) -> tuple[str, ...]:
        """The names of its images in DEST. `suffixes` are those that their bytes tell."""
        ...

    def texts(self, entry: Entry, files: Sequence[str]) -> dict[str, str]:
        """The captions beside the images, by the names of their files."""
        ...


class ShardWriter(Protocol):
    """One file that is being written."""

    def add(self, entry: Entry, images: Sequence[bytes]) -> tuple[str, ...]:
        """Returns what each image is called inside the file."""
        ...


class ShardFormat(Format, Protocol):
    """Many images in each file."""

    def units(self, rows: Rows, config: MaterializeConfig) -> list[Unit]:
        """What each file has."""
        ...

    def file(self, unit: Unit, num_units: int) -> str:
        """The name of its file in DEST."""
        ...

    def writer(self, path: Path, unit: Unit, config: MaterializeConfig) -> AbstractContextManager[ShardWriter]:
        """Writes a whole file there."""
        ...
