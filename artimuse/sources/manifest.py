"""A manifest as a collection: a table with a column `uri`, perhaps `image_id`, and passthrough columns."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa

from artimuse.errors import BadInput
from artimuse.sources.columns import is_id, is_text, refuse_missing, refuse_same_names, separator_hint
from artimuse.sources.suffixes import suffix_of
from artimuse.sources.tables import TABLES, Table
from artimuse.sources.uris import absolute_uris, check_uris
from artimuse.table.schema import IMAGE_ID, URI, passthrough_name

logger = logging.getLogger(__name__)

_LIKELY_URIS = {
    "uri",
    "url",
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "key",
    "image",
    "img",
    "image_path",
    "img_path",
    "image_url",
    "image_uri",
    "image_file",
}
"""Names, in lower case, of columns that often say where images are."""


class ManifestSource:
    """Relative URIs are below the manifest's own directory. Without `image_id` the URI as written is the id."""

    skipped: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self, location: str, *, uri_column: str = "uri", allow_http: bool = False, table: Table | None = None
    ) -> None:
        """`location` is an absolute path or a URL; the table is what is there, unless it has been opened already."""
        self.location = location
        self.uri_column = uri_column
        self.allow_http = allow_http
        self._table = table or TABLES[suffix_of(location)](location)
        columns = self._table.schema
        self._check_columns(columns)
        self._passthrough_names = [name for name in columns.names if name not in (uri_column, "image_id")]
        self.passthrough = pa.schema(
            [columns.field(name).with_name(passthrough_name(name)) for name in self._passthrough_names]
        )
        self._id_column = "image_id" if "image_id" in columns.names else uri_column
        self._schema = pa.schema([IMAGE_ID, URI, *self.passthrough])

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._report_renamed()
        num_rows = 0
        for batch in self._table.batches():
            yield self._rows(batch, num_rows)
            num_rows += batch.num_rows
        if not num_rows:
            raise BadInput(f"{self.location}: no rows in this manifest")

    def _check_columns(self, columns: pa.Schema) -> None:
        found = ", ".join(columns.names) or "none"
        if self.uri_column not in columns.names:
            raise BadInput(
                f"{self.location}: no column `{self.uri_column}` with the path or URL of each image;"
                f" columns found: {found}{_likely_fix(columns.names)}"
            )
        own = (self.uri_column, "image_id")
        stored = [passthrough_name(name) if name not in own else name for name in columns.names]
        refuse_same_names(self.location, stored, columns.names)
        for field in columns:
            is_good = {self.uri_column: is_text, "image_id": is_id}.get(field.name)
            if is_good and not is_good(field.type):
                raise BadInput(f"{self.location}: column `{field.name}` is {field.type}; expected string")

    def _report_renamed(self) -> None:
        renamed = [
            f"{name}={stored}"
            for name, stored in zip(self._passthrough_names, self.passthrough.names)
            if name != stored
        ]
        if renamed:
            logger.warning("manifest_columns_renamed %s", " ".join(renamed))

    def _rows(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        written = {name: batch.column(name).cast(pa.string()) for name in {self.uri_column, self._id_column}}
        for name, texts in written.items():
            refuse_missing(self.location, name, texts, first_row)
        uris = absolute_uris(self.location, written[self.uri_column])
        check_uris(self.location, uris, first_row=first_row, allow_http=self.allow_http)
        passthrough = [batch.column(name) for name in self._passthrough_names]
        return pa.RecordBatch.from_arrays([written[self._id_column], uris, *passthrough], schema=self._schema)


def _likely_fix(names: Sequence[str]) -> str:
    """What a person probably has to do, as the end of the sentence."""
    if hint := separator_hint(names):
        return hint
    likely = [name for name in names if name.lower() in _LIKELY_URIS]
    return f". --uri-column {likely[0]} takes that one" if likely else ""
