"""`diffusers-dpo`: Parquet with the columns that the Diffusion-DPO trainer of diffusers reads.

The winner is always `jpg_0`, with `label_0` 1. The trainer puts it first itself, by swapping where `label_0` is 0, and
looks at no position after that, so a random order would change nothing; and a tie of 0.5 it would take for a win.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from artimuse.curation.materialize.formats.parquet_pairs import ParquetPairs
from artimuse.curation.materialize.images import Entry


class DiffusersDpo(ParquetPairs):
    """Implements `interface.ShardFormat`."""

    schema = pa.schema(
        [
            ("jpg_0", pa.binary()),
            ("jpg_1", pa.binary()),
            ("label_0", pa.int64()),
            ("caption", pa.string()),
        ]
    )

    def row(self, entry: Entry, images: Sequence[bytes]) -> dict[str, Any]:
        winner, loser = images
        return {"jpg_0": winner, "jpg_1": loser, "label_0": 1, "caption": entry.row["prompt"]}
