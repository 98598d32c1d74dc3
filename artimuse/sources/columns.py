"""What all tables of images ask of their columns: manifests, Parquet files with images inside, annotation tables."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artimuse.errors import BadInput
from artimuse.table.schema import fold_case


def is_text(kind: pa.DataType) -> bool:
    """Dictionaries of strings too, and a column that is null throughout: what is missing is told by its first row."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def is_id(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_integer(kind))


def refuse_same_names(location: str, stored: Iterable[str], found: Sequence[str]) -> None:
    """Raises BadInput if two columns would be stored under one name; `found` are their names in the file."""
    folded = Counter(map(fold_case, stored))
    if repeated := [name for name, count in folded.items() if count > 1]:
        raise BadInput(
            f"{location}: more than one column would be stored as {', '.join(repeated)}, upper and lower case"
            f" being the same to SQL; columns found: {', '.join(found)}"
        )


def separator_hint(names: Sequence[str]) -> str:
    """What a person probably has to do about a text file that has one column only, as the end of the sentence."""
    if len(names) == 1 and (found := next((mark for mark in ";\t|" if mark in names[0]), None)):
        shown = "tabs" if found == "\t" else f"`{found}`"
        return f". Its cells stand between {shown}: write it with commas, or name it .tsv if these are tabs"
    return ""


def refuse_missing(location: str, name: str, texts: pa.Array, first_row: int) -> None:
    """Raises BadInput for the first row that has no value, or an empty one, in this column."""
    row = pc.index(pc.equal(pc.fill_null(texts, ""), ""), True).as_py()
    if row >= 0:
        raise BadInput(f"{location}: no {name} in row {first_row + row} (rows count from 0)")
