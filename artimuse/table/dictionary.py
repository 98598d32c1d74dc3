"""The data dictionary of a table: what each column means, from the metadata of its fields."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

_CARRIED = "carried over from INPUT"


@dataclass(frozen=True, slots=True)
class ColumnMeaning:
    """One column; what is not known is an empty text."""

    name: str
    kind: str
    """The type, as Arrow names it."""
    range: str
    """The values that it may have."""
    direction: str
    """Which values are better."""
    meaning: str


def data_dictionary(schema: pa.Schema) -> Iterator[ColumnMeaning]:
    """The columns in their order; one without a description is the manifest's own."""
    for field in schema:
        said = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        yield ColumnMeaning(
            name=field.name,
            kind=str(field.type).replace("<item: ", "<").replace("<element: ", "<"),
            range=said.get("range", ""),
            direction=said.get("direction", ""),
            meaning=said.get("description", _CARRIED),
        )
