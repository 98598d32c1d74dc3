"""WebDataset tars as a collection: every member with an image suffix, read later by its offset and never extracted."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import BinaryIO

import pyarrow as pa

from artimuse.configs.score import TarIds
from artimuse.errors import BadInput
from artimuse.io.location import file_uri, printable
from artimuse.io.prefetch import prefetch
from artimuse.io.reading import open_input
from artimuse.sources.containers import ContainerFiles
from artimuse.sources.files import BATCH_ROWS
from artimuse.sources.suffixes import count_suffix, suffix_of
from artimuse.sources.tar_index import refuse_unreadable, tar_members
from artimuse.table.schema import IMAGE_ID, LENGTH, OFFSET, URI

TARS_AHEAD = 16
"""Tars indexed at a time: over a network each header costs a round trip."""
READ_AHEAD_BYTES = 16 * 2**10
"""A header with the small texts around it, in one request; much more would be pixels."""
MAX_TEXT_BYTES = 2**20
"""The most bytes of one `.json` or `.txt` member: they go into the table."""

_TEXTS = ("json", "txt")
_MOST_NAMED = 3


class TarSource:
    """The id is the member's key, its path up to the first dot of its name, or with `ids` its whole name.

    Of a folder or glob of tars it is `path/of.tar#key`. `.json` and `.txt` members that stand next to an image under
    the same key become passthrough columns; with whole names, those that have the image's name up to the last dot.
    """

    passthrough = pa.schema([pa.field(name, pa.string()) for name in _TEXTS])

    def __init__(self, files: ContainerFiles, *, suffixes: Collection[str], ids: TarIds = "keys") -> None:
        self.files = files
        self.ids = ids
        self.suffixes = frozenset(suffixes)
        self.skipped: Mapping[str, int] = {}
        self._schema = pa.schema([IMAGE_ID, URI, OFFSET, LENGTH, *self.passthrough])

    def batches(self) -> Iterator[pa.RecordBatch]:
        skipped = Counter[str]()
        has_images = False
        with (
            ThreadPoolExecutor(TARS_AHEAD, "index-tar") as threads,
            closing(prefetch(self._index, self.files, threads=threads, ahead=TARS_AHEAD)) as indices,
        ):
            for index in indices:
                skipped.update(index.skipped)
                for first in range(0, index.rows.num_rows, BATCH_ROWS):
                    has_images = True
                    yield index.rows.slice(first, BATCH_ROWS)
        self.skipped = dict((skipped + self.files.skipped).most_common())
        if not has_images:
            raise BadInput(f"{self.files.location}: no member is an image, named {', '.join(sorted(self.suffixes))}")

    def _index(self, found: tuple[str, str]) -> "_Index":
        location, path = found
        prefix = "" if self.files.is_one else f"{printable(path)}#"
        columns: dict[str, list[str | int | None]] = {name: [] for name in self._schema.names}
        skipped = Counter[str]()
        with open_input(location, read_ahead_bytes=READ_AHEAD_BYTES) as file:
            for sample in self._samples(location, file, skipped):
                for name, offset, length in sample.images:
                    uri = f"{file_uri(location)}#{printable(name).replace('#', '%23')}"
                    image_id = prefix + (sample.key if self.ids == "keys" else printable(name))
                    row = (image_id, uri, offset, length, *(sample.texts.get(text) for text in _TEXTS))
                    for column, value in zip(columns.values(), row):
                        column.append(value)
        return _Index(pa.RecordBatch.from_pydict(columns, self._schema), skipped)

    def _samples(self, location: str, file: BinaryIO, skipped: Counter[str]) -> Iterator["_Sample"]:
        key_of = _key if self.ids == "keys" else _stem
        named = ((member.name.removeprefix("./"), member) for member in tar_members(location, file))
        for key, members in groupby(named, key=lambda pair: key_of(pair[0])):
            sample, texts = _Sample(printable(key)), []
            for name, member in members:
                kind = name.removeprefix(f"{key}.")
                if _is_hidden(name):
                    count_suffix(skipped, name)
                elif suffix_of(name) in self.suffixes:
                    refuse_unreadable(location, member)
                    sample.images.append((name, member.offset_data, member.size))
                elif kind in _TEXTS and member.isreg():
                    refuse_unreadable(location, member)
                    texts.append(name)
                    # Read now: the next header is behind it.
                    sample.texts[kind] = _text(location, file, name, member.size)
                else:
                    count_suffix(skipped, name)
            if sample.images:
                if self.ids == "keys":
                    _refuse_shared_key(location, sample)
                yield sample
            else:
                for name in texts:
                    count_suffix(skipped, name)


@dataclass(frozen=True, slots=True)
class _Index:
    rows: pa.RecordBatch
    skipped: Counter[str]


@dataclass(slots=True)
class _Sample:
    """Neighbouring members of one key, or with whole names as ids, of one name up to its last dot."""

    key: str
    images: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, offset, length."""
    texts: dict[str, str] = field(default_factory=dict)


def _key(name: str) -> str:
    """WebDataset's: up to the first dot of the last segment."""
    directory, slash, base = name.rpartition("/")
    return directory + slash + base.partition(".")[0]


def _stem(name: str) -> str:
    """Up to the last dot of the last segment."""
    directory, slash, base = name.rpartition("/")
    return directory + slash + (base.rpartition(".")[0] or base)


def _refuse_shared_key(location: str, sample: _Sample) -> None:
    if len(sample.images) > 1:
        names = ", ".join(printable(name) for name, _, _ in sample.images[:_MOST_NAMED])
        raise BadInput(
            f"{location}: {names} have the same key {sample.key!r}, their name up to the first dot, which would be the"
            " id of each. --tar-ids names makes the whole names the ids."
        )


def _is_hidden(name: str) -> bool:
    return any(segment.startswith(".") and segment not in (".", "..") for segment in name.split("/"))


def _text(location: str, file: BinaryIO, name: str, num_bytes: int) -> str:
    if num_bytes > MAX_TEXT_BYTES:
        raise BadInput(f"{location}: {name} has {num_bytes} bytes; texts beside images may have {MAX_TEXT_BYTES}")
    return file.read(num_bytes).decode("utf-8", "backslashreplace")
