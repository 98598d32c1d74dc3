"""The columns of the score table, and those of the plan that it is made from.

Units, ranges and meanings are in the metadata of each field, so that they travel inside the Parquet files.
"""

import json

import numpy as np
import pyarrow as pa

from artimuse.attributes import ATTRIBUTES
from artimuse.errors import ERROR_CODES
from artimuse.interfaces import FloatArray


def described(
    name: str, kind: pa.DataType, meaning: str, *, range: str = "", direction: str = "", nullable: bool = True
) -> pa.Field:
    """A field whose meaning travels with it, the range of its values and which of them are better, where they have any.

    `dictionary.py` reads it.
    """
    metadata = {"description": meaning, "range": range, "direction": direction}
    return pa.field(name, kind, nullable=nullable, metadata={key: text for key, text in metadata.items() if text})


ROW_NUMBER = described(
    "row_number", pa.int64(), "position of the image in the plan", range="0 to the number of images - 1", nullable=False
)
IMAGE_ID = described(
    "image_id", pa.string(), "the manifest's id, or the path relative to INPUT", range="unique", nullable=False
)
URI = described("uri", pa.string(), "where the image was read", nullable=False)

OWN_PREFIX = "artimuse:"
"""The prefix of columns that are not in the score table: those of the plan, and those between the stages of a run."""
OFFSET = described(
    f"{OWN_PREFIX}offset", pa.int64(), "in a tar the image's first byte, in a Parquet file its row; or null"
)
LENGTH = described(f"{OWN_PREFIX}length", pa.int64(), "of an image in a tar, bytes; null elsewhere")
COLUMN = described(f"{OWN_PREFIX}column", pa.string(), "of an image in a Parquet file; null elsewhere")

_SCORE_FIELDS = (
    ROW_NUMBER,
    IMAGE_ID,
    URI,
    described("status", pa.string(), "whether the image has a score", range="ok or failed", nullable=False),
    described("error_code", pa.string(), "the kind of error; null when ok", range=", ".join(ERROR_CODES)),
    described("error", pa.string(), "what went wrong, for a person; null when ok"),
    described(
        "score",
        pa.float32(),
        "aesthetics score, points; null when failed",
        range="0..100",
        direction="higher is better",
    ),
    described(
        "score_std",
        pa.float32(),
        "standard deviation of the score distribution, points",
        range="0..50",
        direction="lower is surer",
    ),
    described(
        "score_entropy",
        pa.float32(),
        "entropy of the score distribution, nats",
        range="0..ln(number of score values)",
        direction="lower is surer",
    ),
    described(
        "score_probs",
        pa.list_(pa.float16()),
        "probability of each score value; the values are in this field's metadata",
        range="0..1, together 1",
    ),
    *(described(a.slug, pa.string(), f"{a.name}: the model's text; null unless asked for") for a in ATTRIBUTES),
    described(
        "texts_truncated",
        pa.int8(),
        "number of texts that ended at the token limit; null without texts",
        range="0..8",
        direction="lower is better",
    ),
    described("width", pa.int32(), "pixels, as stored in the file", range="1 or more"),
    described("height", pa.int32(), "pixels, as stored in the file", range="1 or more"),
    described(
        "format",
        pa.string(),
        "as Pillow names it; then `deep` or `float` for grey pixels of more than 8 bits, which were cut off at 255",
    ),
    described("bytes", pa.int64(), "size of the file", range="0 or more"),
    described("sha256", pa.string(), "of the file's bytes, hexadecimal", range="64 digits"),
    described(
        "phash",
        pa.uint64(),
        "perceptual hash (DCT) of the picture the model saw, as imagehash.phash has it; few bits apart: alike",
        range="64 bits",
    ),
    described(
        "attempt",
        pa.int8(),
        "one more each time that the failed row was tried again",
        range="1 or more",
        nullable=False,
    ),
)
METADATA_FIELDS = (
    described("meta_prompt", pa.string(), "what the image was generated from, as its generator wrote it into the file"),
    described("meta_negative_prompt", pa.string(), "what the generator was to avoid"),
    described("meta_seed", pa.string(), "the generator's seed, as written"),
    described("meta_generator", pa.string(), "name of the generator, with its version if the file tells"),
)
"""Only with --image-metadata, between our other columns and the manifest's; null where the file says nothing."""
SCORE_COLUMNS: tuple[str, ...] = tuple(field.name for field in _SCORE_FIELDS)
TABLE_NAME = "table_name"
"""Where rows of several tables are together: the table that a row is from."""
SCORE_VALUES = "score_values"
"""There as well: the values that `score_probs` is over, one list for all rows of a table."""
_OUR_NAMES = {*SCORE_COLUMNS, *(field.name for field in METADATA_FIELDS), TABLE_NAME, SCORE_VALUES}


def score_schema(values_K: FloatArray, passthrough: pa.Schema, *, with_metadata: bool = False) -> pa.Schema:
    """Schema of the score table: our columns, then the manifest's own.

    The K score values of `score_probs` are JSON in its metadata under `values`, so that quantiles need nothing else.
    """
    fields = [
        field.with_metadata({**field.metadata, "values": json.dumps(np.asarray(values_K).tolist())})
        if field.name == "score_probs"
        else field
        for field in _SCORE_FIELDS
    ]
    return pa.schema([*fields, *(METADATA_FIELDS if with_metadata else ()), *passthrough])


def passthrough_name(name: str) -> str:
    """The column under which a manifest's own column is stored: unchanged unless the name is ours, in any case."""
    folded = fold_case(name)
    return f"input_{name}" if folded in _OUR_NAMES or folded.startswith(OWN_PREFIX) else name


def fold_case(name: str) -> str:
    """Column names that fold to the same one are one column to SQL: DuckDB ignores the case of ASCII letters only."""
    return name.encode().lower().decode()
