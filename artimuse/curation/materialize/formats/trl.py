"""`trl`: Parquet with `prompt`, `chosen`, `rejected` and `images`, for the DPO trainer of TRL and vision models.

That trainer prefers one text over another, never one image over another. So the model is shown both images and asked
which is better; `chosen` and `rejected` are the two answers. Each half of the winners are the first image, or the model
would learn the place.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from artimuse.curation.materialize.formats.parquet_pairs import ParquetPairs, winner_is_first
from artimuse.curation.materialize.images import Entry

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_IMAGES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_TEXT = {"dtype": "string", "_type": "Value"}
_TALK = {"feature": {"role": _TEXT, "content": _TEXT}, "_type": "List"}
_FEATURES = {
    "prompt": _TALK,
    "chosen": _TALK,
    "rejected": _TALK,
    "images": {"feature": {"_type": "Image"}, "_type": "List"},
}
_ANSWERS = ("The first image is better.", "The second image is better.")


class Trl(ParquetPairs):
    """Implements `interface.ShardFormat`."""

    schema = pa.schema(
        [("prompt", _MESSAGES), ("chosen", _MESSAGES), ("rejected", _MESSAGES), ("images", _IMAGES)],
        metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
    )

    def row(self, entry: Entry, images: Sequence[bytes]) -> dict[str, Any]:
        places = (0, 1) if winner_is_first(entry) else (1, 0)
        shown = [{"bytes": images[place], "path": None} for place in places]
        prompt = entry.row["prompt"]
        subject = f' for the prompt "{prompt}"' if prompt else ""
        return {
            "prompt": [{"role": "user", "content": f"Which of these two images is better{subject}?"}],
            "chosen": [{"role": "assistant", "content": _ANSWERS[places[0]]}],
            "rejected": [{"role": "assistant", "content": _ANSWERS[places[1]]}],
            "images": shown,
        }
