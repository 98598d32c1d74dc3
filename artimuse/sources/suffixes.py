"""What files are by their names: images have the suffixes Pillow registers for the formats asked for."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from PIL import Image

_PICTURES_NOT_READ = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".psd", ".svg"}
    | {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}  # of cameras
)
_MAX_SUFFIXES_COUNTED = 100
"""Names like `photo.1718` would otherwise make a counter of every file."""


def image_suffixes(formats: Collection[str]) -> frozenset[str]:
    """Lower case, dot included. Formats are named as Pillow names them."""
    # MPO, the stereo format of some cameras, is read by Pillow's JPEG reader.
    names = {*formats, "MPO"} if "JPEG" in formats else set(formats)
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in names)


def suffix_of(name: str) -> str:
    """Lower case, dot included; empty if there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a tenth of pathlib's time, for every file of a folder


def count_suffix(counts: Counter[str], path: str) -> None:
    """Beyond a hundred suffixes, new ones count as `other`."""
    suffix = suffix_of(path)
    counts[suffix if suffix in counts or len(counts) < _MAX_SUFFIXES_COUNTED else "other"] += 1


def describe_skipped(skipped: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """A heading and a sentence for pictures that Pillow does not read, and for files that are no pictures."""
    pictures = {suffix: count for suffix, count in skipped.items() if suffix in _PICTURES_NOT_READ}
    if pictures:
        yield "not read", f"{_kinds(pictures)}: write them as JPEG, PNG or WebP to have them scored"
    if others := {suffix: count for suffix, count in skipped.items() if suffix not in pictures}:
        yield "not images", f"{_kinds(others)} (left out)"


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in counts.items())
