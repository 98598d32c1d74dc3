"""Copying images to files of their own. A file has its name only when it is whole and its bytes are those scored."""

import errno
import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pyarrow as pa
from PIL import Image

from artimuse.curation.materialize.collisions import Collisions
from artimuse.curation.materialize.copying import Copying
from artimuse.curation.materialize.formats.interface import FileFormat, Rows
from artimuse.curation.materialize.images import Entry, Failure, Wanted, failures
from artimuse.curation.materialize.names import NameRule, SafeName, safe_name, suffix_of_format, suffix_of_name, tagged
from artimuse.curation.materialize.units import Counts, Outcome, Unit, read_units, write_part
from artimuse.curation.selection import Selection
from artimuse.errors import BadInput, BadOutput
from artimuse.io.folder import Folder
from artimuse.io.location import local_path

_NAME_COLUMNS = ("table_name", "image_id", "format")


class FileNames:
    """The name of each entry's file, the same in every run on one selection."""

    def __init__(self, rows: Rows, units: Sequence[Unit], selection: Selection, rule: NameRule, scratch: Path) -> None:
        self.rule = rule
        self._has_folders = len(selection.facts.tables) > 1
        columns = [name for name in _NAME_COLUMNS if name in rows.schema.names]
        names = (name for _, table in read_units(rows.location, units, columns) for name in self._names(table))
        self._collisions = Collisions(names, rule, scratch)

    def give(self, unit: Unit, entries: Sequence[Entry]) -> None:
        """Names the entries."""
        renamed = self._collisions.among(unit.first, unit.num_entries)
        for entry in entries:
            [image] = entry.images
            found = self._name(image.table_name, image.image_id, image.file_format)
            entry.name, entry.is_mapped = found.name, found.is_mapped
            if entry.number in renamed:
                entry.name, entry.is_mapped = tagged(found.name, f"{image.table_name}/{image.image_id}"), True

    def close(self) -> None:
        self._collisions.close()

    def _names(self, table: pa.Table) -> Iterator[SafeName]:
        formats = table["format"].to_pylist() if "format" in table.column_names else [None] * len(table)
        yield from map(self._name, table["table_name"].to_pylist(), table["image_id"].to_pylist(), formats)

    def _name(self, table_name: str, image_id: str, file_format: str | None) -> SafeName:
        return safe_name(image_id, file_format, self.rule, table_name=table_name if self._has_folders else None)


class FileCopier:
    """Copies units of entries to files."""

    def __init__(self, copying: Copying, layout: FileFormat, names: FileNames | None, *, looks_first: bool) -> None:
        """`looks_first`: an earlier run may have written some of the files."""
        self.copying = copying
        self.output = copying.output
        self.layout = layout
        self.names = names
        self.looks_first = looks_first
        self.links = copying.config.link

    def copy(self, units: Sequence[Unit]) -> None:
        """Raises Abandoned after a stop, and what the storage of DEST says."""
        begun: deque[Unit] = deque()
        outcomes: list[Outcome] = []
        counts = Counts()
        with closing(self.copying.reader(self._entries(units, begun), self._copy)) as results:
            for entry, (found, one) in results:
                outcomes += found
                counts += one
                self.copying.advance(one)
                if entry.number == begun[0].end - 1:
                    write_part(self.output, begun.popleft(), outcomes, counts)
                    outcomes, counts = [], Counts()
                self.copying.heed()

    def _entries(self, units: Sequence[Unit], begun: deque[Unit]) -> Iterator[Entry]:
        for unit, entries in self.copying.entries(self.layout, units):
            begun.append(unit)
            if self.names:
                self.names.give(unit, entries)
            yield from entries

    def _copy(self, entry: Entry, read: Callable[[], list[bytes | Failure]]) -> tuple[list[Outcome], Counts]:
        """Runs in a thread."""
        if self.looks_first:
            files = self.layout.files(entry, [""] * len(entry.images))
            if all(self._is_there(file, image) for file, image in zip(files, entry.images)):
                return self._done(entry, files)
        data = read()
        if reasons := failures(data):
            found = [
                Outcome(entry.number, image, None, reason) for image, reason in zip(entry.images, reasons) if reason
            ]
            return found, Counts(1, num_failed=1)
        images = [found for found in data if isinstance(found, bytes)]
        files = self.layout.files(entry, [self._suffix(image) for image in images])
        # Captions first: an image that is there has its caption.
        for name, text in self.layout.texts(entry, files).items():
            self.output.write(name, text.encode())
        for file, image, content in zip(files, entry.images, images):
            if self.links:
                link(image, self.output, file)
            else:
                self.output.write(file, content)
        return self._done(entry, files)

    def _done(self, entry: Entry, files: Sequence[str]) -> tuple[list[Outcome], Counts]:
        is_bare = self.layout.takes_caption and not self.layout.texts(entry, files)
        found = [Outcome(entry.number, image, file) for image, file in zip(entry.images, files)]
        reads = self.layout.read_suffixes
        num_unread = sum(f".{file.rpartition('.')[2].lower()}" not in reads for file in files) if reads else 0
        return found, Counts(1, num_mapped=entry.is_mapped, num_bare=is_bare, num_unread=num_unread)

    def _is_there(self, file: str, image: Wanted) -> bool:
        if not suffix_of_name(file) or not self.output.exists(file):
            return False  # what suffix it has may be known only when the image has been read
        if self.output.is_local:
            return hashlib.sha256(self.output.read(file)).hexdigest() == image.sha256
        # A store shows whole objects only, so one of our names and of this size is ours.
        return image.num_bytes is not None and self.output.size(file) == image.num_bytes

    def _suffix(self, image: bytes) -> str:
        """Of an image of a pair, by its bytes: a selection of pairs does not tell formats."""
        if self.layout.kind == "rows":
            return ""
        with suppress(Exception), Image.open(io.BytesIO(image)) as opened:
            return suffix_of_format(opened.format)
        return ""


def link(image: Wanted, output: Folder, file: str) -> None:
    """Makes the file a hard link to the image. Raises BadInput where there can be none, BadOutput if it fails."""
    source = local_path(image.location.uri)
    assert source is not None
    target = Path(output.path(file))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise BadInput(
                f"--link: {source} and {output.url()} cannot share a file ({error.strerror}); leave --link out to copy"
            ) from error
        raise BadOutput(f"{target}: cannot be linked ({error.strerror})") from error


def refuse_links(copying: Copying, layout: FileFormat, units: Sequence[Unit], are_inside: Mapping[str, bool]) -> None:
    """Raises BadInput if an image is no file of a disk here, or DEST is none.

    `are_inside` says of each table whether its images are inside tars or Parquet files.
    """
    if not copying.output.is_local:
        raise BadInput(f"--link: {copying.output.url()} is not on a disk, so nothing can be linked there")
    for name, is_inside in are_inside.items():
        if is_inside:
            raise BadInput(f"--link: the images of {name!r} are inside tars or Parquet files; leave --link out to copy")
    columns = [f"{side}uri" for side in layout.sides]
    for _, table in read_units(copying.rows.location, units, columns):
        for uri in (uri for column in columns for uri in table[column].to_pylist()):
            if local_path(uri) is None:
                raise BadInput(f"--link: {uri} is not a file of a disk; leave --link out to copy")
