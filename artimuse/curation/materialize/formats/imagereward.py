"""`imagereward`: a JSON list with `prompt`, `generations` and `ranking`, in which lower is better.

`generations` are relative to DEST, which is the `image_base` of the trainer's configuration, and its `data_base`.
"""

from typing import Any

from artimuse.curation.materialize.formats.pair_lists import PairList
from artimuse.io.folder import Folder


class ImageReward(PairList):
    """Implements `interface.FileFormat`."""

    def line(self, prompt: str, winner: str, loser: str, output: Folder) -> dict[str, Any]:
        return {"prompt": prompt, "generations": [winner, loser], "ranking": [1, 2]}
