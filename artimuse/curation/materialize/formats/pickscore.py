"""`pickscore`: Parquet with the columns of Pick-a-Pic, which PickScore is trained on.

Each half of the winners are `jpg_0`: the trainer reports an accuracy that a constant answer would get right otherwise.
A pair weighs 1 / `num_example_per_prompt`, the number of pairs of its prompt in the selection.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.materialize.formats.parquet_pairs import ParquetPairs, winner_is_first
from artimuse.curation.materialize.formats.relations import made_of
from artimuse.curation.materialize.images import Entry
from artimuse.curation.selection import Selection

_COUNTED = """
SELECT *, count(*) OVER (PARTITION BY prompt) AS num_example_per_prompt FROM selected ORDER BY pair_number
"""


class PickScore(ParquetPairs):
    """Implements `interface.ShardFormat`."""

    schema = pa.schema(
        [
            ("caption", pa.string()),
            ("jpg_0", pa.binary()),
            ("jpg_1", pa.binary()),
            ("label_0", pa.float64()),
            ("label_1", pa.float64()),
            ("are_different", pa.bool_()),
            ("has_label", pa.bool_()),
            ("num_example_per_prompt", pa.int64()),
            ("image_0_uid", pa.string()),
            ("image_1_uid", pa.string()),
        ]
    )

    def rows(self, selection: Selection, scratch: Path) -> Rows:
        return made_of(selection, _COUNTED, scratch)

    def columns(self, rows: Rows, config: MaterializeConfig) -> Sequence[str]:
        return ["prompt", "num_example_per_prompt"]

    def row(self, entry: Entry, images: Sequence[bytes]) -> dict[str, Any]:
        is_first = winner_is_first(entry)
        places = (0, 1) if is_first else (1, 0)
        uids = [f"{image.table_name}/{image.image_id}" for image in entry.images]
        return {
            "caption": entry.row["prompt"],
            "jpg_0": images[places[0]],
            "jpg_1": images[places[1]],
            "label_0": float(is_first),
            "label_1": float(not is_first),
            "are_different": True,
            "has_label": True,
            "num_example_per_prompt": entry.row["num_example_per_prompt"],
            "image_0_uid": uids[places[0]],
            "image_1_uid": uids[places[1]],
        }
