"""`simpletuner`: the winners in `win/`, the losers in `lose/` under the same names, with captions, for Flow-DPO.

The trainer puts the name of the winner behind the folder of the losers, suffix and all. So both have the suffix of the
winner; it reads images by their content.
"""

from collections.abc import Sequence

from artimuse.curation.materialize.formats.defaults import InFiles, OfPairs
from artimuse.curation.materialize.formats.texts import caption_of
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.names import sidecar, suffix_of_name


class SimpleTuner(InFiles, OfPairs):
    """Implements `interface.FileFormat`."""

    naming = None

    def files(self, entry: Entry, suffixes: Sequence[str]) -> tuple[str, ...]:
        suffix = suffix_of_name(entry.images[0].image_id) or suffixes[0]
        name = f"{entry.number:09d}{suffix.lower()}"
        return f"win/{name}", f"lose/{name}"

    def texts(self, entry: Entry, files: Sequence[str]) -> dict[str, str]:
        caption = caption_of(entry.row["prompt"])
        return {sidecar(file): caption for file in files} if caption else {}
