"""`hpsv3`: a JSON list with `prompt`, `path1` (the better one) and `path2`.

The trainer opens the paths as they are. So they are absolute for a DEST on a disk; relative to DEST on a store.
"""

from typing import Any

from artimuse.curation.materialize.formats.pair_lists import PairList
from artimuse.io.folder import Folder


class Hpsv3(PairList):
    """Implements `interface.FileFormat`."""

    def line(self, prompt: str, winner: str, loser: str, output: Folder) -> dict[str, Any]:
        first, second = (output.url(file) if output.is_local else file for file in (winner, loser))
        return {"prompt": prompt, "path1": first, "path2": second}
