"""Which files are images by their names: the suffixes Pillow registers for the formats asked for."""

import os
from collections.abc import Collection

from PIL import Image


def image_suffixes(formats: Collection[str]) -> frozenset[str]:
    """Lower case, dot included. Formats are named as Pillow names them."""
    # MPO, the stereo format of some cameras, is read by Pillow's JPEG reader.
    names = {*formats, "MPO"} if "JPEG" in formats else set(formats)
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in names)


def suffix_of(name: str) -> str:
    """Lower case, dot included; empty if there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a tenth of pathlib's time, for every file of a folder
