"""One image as a collection."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import pyarrow as pa

from artimuse.io.location import local_path
from artimuse.sources.files import CARRIED_BY_FILES, FILE_SCHEMA, file_batches
from artimuse.sources.uris import check_uris


class SingleSource:
    """The id is the file's name."""

    carried = CARRIED_BY_FILES
    skipped: Mapping[str, int] = MappingProxyType({})

    def __init__(self, place: str, *, allow_http: bool = False) -> None:
        self.place = place
        self.allow_http = allow_http

    def batches(self) -> Iterator[pa.RecordBatch]:
        path = local_path(self.place)
        if path is not None:
            yield from file_batches(str(Path(path).parent), [Path(path).name])
            return
        uris = pa.array([self.place])
        check_uris(self.place, uris, first_row=0, allow_http=self.allow_http)
        yield pa.RecordBatch.from_arrays([pa.array([PurePosixPath(self.place).name]), uris], schema=FILE_SCHEMA)
