"""What can be scored: collections of images, as streams of rows that say where each image is."""

from collections.abc import Collection, Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from artimuse.configs import DEFAULT_FORMATS
from artimuse.errors import BadInput
from artimuse.sources.folder import FolderSource, describe_skipped
from artimuse.sources.glob import GlobSource
from artimuse.sources.manifest import ManifestSource
from artimuse.sources.single import SingleSource
from artimuse.sources.suffixes import image_suffixes, suffix_of
from artimuse.sources.tables import TABLES
from artimuse.storage import local_path

__all__ = ["Source", "describe_skipped", "open_source"]

_ACCEPTED = (
    f"INPUT can be a folder, a quoted glob, one image, or a manifest ({', '.join(TABLES)}) with a column `uri`. "
    "A manifest and the images it lists may be on URLs such as s3://"
)


class Source(Protocol):
    """A collection of images. Only `batches` reads more than a header (JSON lines are read to learn their types)."""

    @property
    def carried(self) -> pa.Schema:
        """The collection's own columns, under the names the score table stores them."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> number of files passed over; known after `batches` has ended."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows of image_id, uri and the carried columns: in bounded memory, the same in every call.

        Raises BadInput if the collection is empty or malformed.
        """
        ...


def open_source(input: str, *, formats: Collection[str] = DEFAULT_FORMATS) -> Source:
    """The collection that INPUT names; `formats` (as Pillow spells them) tells which files of a folder are images.

    Raises BadInput, saying what INPUT can be, if it is not there or not of a known kind.
    """
    suffixes = image_suffixes(formats)
    suffix = suffix_of(input)
    local = local_path(input)
    if local is not None:
        path = Path(local).expanduser().absolute()
        try:
            if path.is_dir():
                return FolderSource(str(path), suffixes=suffixes)
            is_there = path.exists()
        except OSError as error:
            raise BadInput(f"{input}: cannot be looked at ({error.strerror})") from error
        if not is_there and has_magic(local):
            return GlobSource(str(path))
        if not is_there:
            raise BadInput(f"{input}: no such file or directory. {_ACCEPTED}.")
        input = str(path)
    if suffix in TABLES:
        return ManifestSource(input)
    if suffix in suffixes:
        return SingleSource(input)
    raise BadInput(f"{input}: not a collection this version reads. {_ACCEPTED}.")
