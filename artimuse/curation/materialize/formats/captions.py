"""`kohya` and `onetrainer`: `a.txt` beside `a.jpg`, with one line.

kohya reads the files of one folder and not of those below, so there all images are in DEST itself. `/` becomes `-`, not
`_`: for `a_b_c_d_e.jpg` without a caption it would take `a.txt`.
"""

from collections.abc import Sequence

from artimuse.curation.materialize.formats.defaults import InFiles, OfRows
from artimuse.curation.materialize.formats.texts import caption_of
from artimuse.curation.materialize.images import Entry
from artimuse.curation.materialize.names import NameRule, sidecar


class Captioned(InFiles, OfRows):
    """Implements `interface.FileFormat`. An image without a caption has no `.txt`: kohya stops at an empty one."""

    takes_caption = True

    def __init__(self, *, is_flat: bool, read_suffixes: frozenset[str]) -> None:
        self.naming = NameRule(is_flat=is_flat, has_sidecars=True)
        self.read_suffixes = read_suffixes

    def texts(self, entry: Entry, files: Sequence[str]) -> dict[str, str]:
        [caption] = [caption_of(value) for value in entry.row.values()]
        return {sidecar(file): caption for file in files} if caption else {}


KOHYA = Captioned(is_flat=True, read_suffixes=frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif"}))
ONETRAINER = Captioned(
    is_flat=False, read_suffixes=frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif"})
)
