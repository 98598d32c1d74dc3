"""`webdataset`: tars in which each image has its row beside it as JSON, and its caption if --caption names one.

The key of a sample is the place of the row in the selection, in nine digits: keys end at their first dot, which an
image_id may have anywhere. The JSON has the image_id.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.formats.defaults import MAX_ENTRIES_PER_SHARD, OfRows
from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.materialize.formats.texts import caption_of, plain_row
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.names import suffix_of_format
from artimuse.curation.materialize.units import Unit, bounded_units, equal_units, read_units

_USUAL_ROW_BYTES = 4096
"""What the JSON and the headers of a sample count for."""
_UNKNOWN_SUFFIX = ".img"


class WebDataset(OfRows):
    """Implements `interface.ShardFormat`."""

    takes_caption = True

    def columns(self, rows: Rows, config: MaterializeConfig) -> Sequence[str]:
        return list(rows.schema.names)

    def units(self, rows: Rows, config: MaterializeConfig) -> list[Unit]:
        def weights() -> Iterator[int]:
            for _, table in read_units(rows.location, equal_units(rows.num_rows), ["bytes"]):
                yield from ((size or 0) + _USUAL_ROW_BYTES for size in table["bytes"].to_pylist())

        return bounded_units(weights(), most=config.shard_bytes, max_entries=MAX_ENTRIES_PER_SHARD)

    def file(self, unit: Unit, num_units: int) -> str:
        return f"{unit.number:06d}.tar"

    @contextmanager
    def writer(self, path: Path, unit: Unit, config: MaterializeConfig) -> Iterator["TarShard"]:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
            yield TarShard(file, config.caption)


class TarShard:
    """Implements `interface.ShardWriter`."""

    def __init__(self, file: tarfile.TarFile, caption: str | None) -> None:
        self._file = file
        self._caption = caption

    def add(self, entry: Entry, images: Sequence[bytes]) -> tuple[str, ...]:
        key = f"{entry.number:09d}"
        [wanted], [image] = entry.images, images
        name = key + (suffix_of_format(wanted.file_format) or _UNKNOWN_SUFFIX)
        self._write(name, image)
        row = {"key": key, **plain_row(entry.row)}
        if self._caption and (caption := caption_of(entry.row[self._caption])):
            row["caption"] = caption
            self._write(f"{key}.txt", caption.encode())
        self._write(f"{key}.json", json.dumps(row, ensure_ascii=False).encode())
        return (name,)

    def _write(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._file.addfile(member, io.BytesIO(data))
