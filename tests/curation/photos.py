"""Photographs as people change them, and how far that moves the hash of what the model sees."""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.images.decode import decode, resize
from artimuse.images.hashes import phash

Picture = Image.Image


def as_jpeg(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resized(picture: Picture, share: float) -> Picture:
    size = round(picture.width * share), round(picture.height * share)
    return picture.resize(size, Image.Resampling.LANCZOS)


def cropped(picture: Picture, share: float) -> Picture:
    """This share of the width goes at the left and at the right, and of the height at the top and at the bottom."""
    left, top = round(picture.width * share), round(picture.height * share)
    return picture.crop((left, top, picture.width - left, picture.height - top))


def bordered(picture: Picture, share: float, colour: str) -> Picture:
    return ImageOps.expand(picture, round(min(picture.size) * share), colour)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG, quality 85": lambda picture: as_jpeg(picture, 85),
    "JPEG, quality 50": lambda picture: as_jpeg(picture, 50),
    "half the size": lambda picture: resized(picture, 0.5),
    "a quarter of the size": lambda picture: resized(picture, 0.25),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "1 % cropped at each side": lambda picture: cropped(picture, 0.01),
    "5 % cropped at each side": lambda picture: cropped(picture, 0.05),
    "10 % cropped at each side": lambda picture: cropped(picture, 0.1),
    "white border of 2 %": lambda picture: bordered(picture, 0.02, "white"),
    "white border of 5 %": lambda picture: bordered(picture, 0.05, "white"),
    "black border of 5 %": lambda picture: bordered(picture, 0.05, "black"),
    "flipped": lambda picture: ImageOps.mirror(picture),
}


def hashes_after(photos: Path) -> dict[str, list[int]]:
    """Per change the hash of each changed photo as the column `phash` has it; under "unchanged" that of its file."""
    hashes: dict[str, list[int]] = {name: [] for name in ("unchanged", *CHANGES)}
    for path in sorted(path for path in photos.iterdir() if path.suffix != ".csv"):
        image = decode(path.read_bytes(), DecodeLimits())
        assert not isinstance(image, RowError), image
        hashes["unchanged"].append(phash(image.pixels_HWC))
        with Image.open(path) as file:
            picture = file.convert("RGB")
        for name, change in CHANGES.items():
            hashes[name].append(phash(resize(change(picture))))
    return hashes


def distances_after(photos: Path) -> dict[str, list[int]]:
    """Per change the bits in which the hash of each photo differs from before."""
    hashes = hashes_after(photos)
    return {
        name: [(before ^ after).bit_count() for before, after in zip(hashes["unchanged"], hashes[name])]
        for name in CHANGES
    }
