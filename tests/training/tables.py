"""Small annotation tables with pictures that a network can learn something from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.schema import ANNOTATION_SCHEMA

NUM_TEXTS = 2


def make_table(folder: Path, *, num_train: int = 20, num_validation: int = 6, bad: Sequence[int] = ()) -> Path:
    """Grey pictures whose brightness is their score; the pictures of the numbers in `bad` are no pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows = []
    for i in range(num_train + num_validation):
        grey = int(random.integers(0, 256))
        path = folder / f"{i}.png"
        if i in bad:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(np.full((32, 32, 3), grey, dtype=np.uint8)).save(path)
        row = dict.fromkeys(ANNOTATION_SCHEMA.names)
        row |= {"image_id": f"picture {i}", "uri": path.name, "dataset": "grey", "kind": "expert"}
        row |= {"split": "train" if i < num_train else "validation", "score": grey / 2.55}
        row |= dict.fromkeys((a.slug for a in ATTRIBUTES[:NUM_TEXTS]), "Bright." if grey > 127 else "Rather dark.")
        rows.append(row)
    table = folder / "table.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA), table)
    return table
