"""The columns of the annotation table: labelled images, for training and evaluation."""

import pyarrow as pa

from artimuse.attributes import ATTRIBUTES
from artimuse.table.schema import IMAGE_ID, URI, described

ANNOTATION_SCHEMA = pa.schema(
    [
        IMAGE_ID,
        URI,
        described("dataset", pa.string(), "name of the data set", nullable=False),
        described("split", pa.string(), "train, validation or test", nullable=False),
        described("kind", pa.string(), "score, partial_text or expert: the paper's types 1, 2, 3", nullable=False),
        described("score", pa.float32(), "points, 0..100; null for text-only rows"),
        described("evidence", pa.string(), "what the annotator prompt quotes"),
        described("question", pa.string(), "any other question about the image"),
        described("answer", pa.string(), "its answer; null without a question"),
        *(described(a.slug, pa.string(), f"{a.name}: the reference text") for a in ATTRIBUTES),
        described("analyst", pa.string(), "who wrote the texts: human, or a model's name"),
    ]
)
