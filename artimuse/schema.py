"""The two tables of the system as Arrow schemas: the score table and the annotation table.

Units, ranges and meanings are in the metadata of each field, so that they travel inside the Parquet files.
"""

import json

import numpy as np
import pyarrow as pa

from artimuse.attributes import ATTRIBUTES
from artimuse.errors import ERROR_CODES
from artimuse.interfaces import FloatArray


def _field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": meaning})


ROW_NUMBER = _field("row_number", pa.int64(), "position of the image in the plan, from 0", nullable=False)
IMAGE_ID = _field("image_id", pa.string(), "the manifest's id, or the path relative to INPUT; unique", nullable=False)
URI = _field("uri", pa.string(), "where the image was read", nullable=False)

OWN_PREFIX = "artimuse:"
"""Of columns that are not in the score table: those of the plan, and those between the stages of a run."""
OFFSET = _field(
    f"{OWN_PREFIX}offset", pa.int64(), "in a tar the image's first byte, in a Parquet file its row; or null"
)
LENGTH = _field(f"{OWN_PREFIX}length", pa.int64(), "of an image in a tar, bytes; null elsewhere")
COLUMN = _field(f"{OWN_PREFIX}column", pa.string(), "of an image in a Parquet file; null elsewhere")

_SCORE_FIELDS = (
    ROW_NUMBER,
    IMAGE_ID,
    URI,
    _field("status", pa.string(), "ok or failed", nullable=False),
    _field("error_code", pa.string(), "null when ok; one of " + ", ".join(ERROR_CODES)),
    _field("error", pa.string(), "null when ok; what went wrong, for a person"),
    _field("score", pa.float32(), "aesthetics score, 0..100 points, higher is better; null when failed"),
    _field("score_std", pa.float32(), "standard deviation of the score distribution, points"),
    _field("score_entropy", pa.float32(), "entropy of the score distribution, nats"),
    _field("score_probs", pa.list_(pa.float16()), "probability of each score value"),
    *(_field(a.slug, pa.string(), f"{a.name}: the model's text; null unless asked for") for a in ATTRIBUTES),
    _field("texts_truncated", pa.int8(), "how many texts ended at the token limit; null without texts"),
    _field("width", pa.int32(), "pixels, as stored in the file"),
    _field("height", pa.int32(), "pixels, as stored in the file"),
    _field("format", pa.string(), "as Pillow names it"),
    _field("bytes", pa.int64(), "size of the file"),
    _field("sha256", pa.string(), "of the file's bytes, hexadecimal"),
    _field("phash", pa.uint64(), "64-bit DCT perceptual hash of the picture the model saw (imagehash.phash)"),
    _field("attempt", pa.int8(), "1; 2 after a retry of failed rows", nullable=False),
)
METADATA_FIELDS = (
    _field("meta_prompt", pa.string(), "what the image was generated from, as its generator wrote it into the file"),
    _field("meta_negative_prompt", pa.string(), "what the generator was to avoid"),
    _field("meta_seed", pa.string(), "the generator's seed, as written"),
    _field("meta_generator", pa.string(), "name of the generator, with its version if the file tells"),
)
"""Only with --image-metadata, between our other columns and the manifest's; null where the file says nothing."""
SCORE_COLUMNS: tuple[str, ...] = tuple(field.name for field in _SCORE_FIELDS)
_OUR_NAMES = {*SCORE_COLUMNS, *(field.name for field in METADATA_FIELDS)}


def score_schema(values_K: FloatArray, carried: pa.Schema, *, with_metadata: bool = False) -> pa.Schema:
    """Schema of the score table: our columns, then the manifest's own.

    The K score values of `score_probs` are JSON in its metadata under `values`, so that quantiles need nothing else.
    """
    fields = [
        field.with_metadata({**field.metadata, "values": json.dumps(np.asarray(values_K).tolist())})
        if field.name == "score_probs"
        else field
        for field in _SCORE_FIELDS
    ]
    return pa.schema([*fields, *(METADATA_FIELDS if with_metadata else ()), *carried])


def carried_name(name: str) -> str:
    """The column under which a manifest's own column is stored: unchanged unless the name is ours, in any case."""
    folded = fold_case(name)
    return f"input_{name}" if folded in _OUR_NAMES or folded.startswith(OWN_PREFIX) else name


def fold_case(name: str) -> str:
    """Column names that fold to the same one are one column to SQL: DuckDB ignores the case of ASCII letters only."""
    return name.encode().lower().decode()


ANNOTATION_SCHEMA = pa.schema(
    [
        IMAGE_ID,
        URI,
        _field("dataset", pa.string(), "name of the data set", nullable=False),
        _field("split", pa.string(), "train, validation or test", nullable=False),
        _field("kind", pa.string(), "score, partial_text or expert: the paper's types 1, 2, 3", nullable=False),
        _field("score", pa.float32(), "points, 0..100; null for text-only rows"),
        _field("evidence", pa.string(), "what the annotator prompt quotes"),
        _field("question", pa.string(), "any other question about the image"),
        _field("answer", pa.string(), "its answer; null without a question"),
        *(_field(a.slug, pa.string(), f"{a.name}: the reference text") for a in ATTRIBUTES),
        _field("analyst", pa.string(), "who wrote the texts: human, or a model's name"),
    ]
)
