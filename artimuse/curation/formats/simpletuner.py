"""`simpletuner`: the winners in `win/`, the losers in `lose/` under the same names, with captions, for Flow-DPO.

The trainer puts the name of the winner behind the folder of the losers, suffix and all. So both have the suffix of the
winner; it reads images by their content.
"""

from collections.abc import Sequence

from artimuse.curation.formats.captions import sidecar
from artimuse.curation.formats.defaults import InFiles, OfPairs
from artimuse.curation.formats.texts import caption_of
from artimuse.curation.images import Entry


class SimpleTuner(InFiles, OfPairs):
    """Implements `interface.FileFormat`."""

    naming = None
    # Of `image_file_extensions` those that an image of ours can have.
    read_suffixes = None

    def files(self, entry: Entry, suffixes: Sequence[str]) -> tuple[str, ...]:
        name = f"{entry.number:09d}{suffixes[0] or '.img'}"
        return f"win/{name}", f"lose/{name}"

    def texts(self, entry: Entry, files: Sequence[str]) -> dict[str, str]:
        caption = caption_of(entry.row["prompt"])
        return {sidecar(file): caption for file in files} if caption else {}
