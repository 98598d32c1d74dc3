"""From the bytes of a file to the pixels the model sees, exactly as the official code makes them.

Reading bytes from somewhere is `io/`; normalisation to floats is the engine's, on its device.
"""

# H and W pixels, C = 3 channels
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError, features

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.images.embedded_texts import without_texts
from artimuse.interfaces import PixelArray

IMAGE_SIZE_PX = 448
"""Side of the square the model sees (paper table 11); every supported checkpoint has this size."""


# What Pillow says of PNGs whose texts or profile unpack to more than 1 MiB, or to 64 MiB together (Pillow 13).
# Workflows of ComfyUI do.
_TOO_MUCH_TEXT = re.compile("MAX_TEXT_CHUNK|MAX_TEXT_MEMORY")


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """What the model sees of one file, and what the file was."""

    pixels_HWC: PixelArray
    """uint8 RGB, 448 x 448 x 3."""
    width: int
    height: int
    format: str
    """As Pillow names it, with the kind of pixels if they have more than the 8 bits that the model sees."""


# Grey pixels that Pillow does not scale to 8 bits but cuts off, by the beginning of its modes (`I;16`, `I`, `F`).
_DEEP = {"I": " deep", "F": " float"}


def decode(data: bytes, limits: DecodeLimits) -> DecodedImage | RowError:
    """Decodes one file: first frame, RGB, bicubic to 448 x 448 whatever the aspect ratio.

    No EXIF rotation (though Pillow turns TIFFs by itself), alpha dropped, deep and floating-point grey clipped at 255:
    the model was trained on such pixels. A truncated file is an error, never padded. Size and format are checked
    from the header.
    Source: official evaluation code; pixels are equal bit by bit (Pillow 13, libjpeg-turbo 3.2).
    """
    if not data:
        return RowError("corrupt", "the file is empty")
    if len(data) > limits.max_bytes:
        return too_large(len(data), limits)
    try:
        try:
            return _decode(data, limits)
        except ValueError as error:
            if not _TOO_MUCH_TEXT.search(str(error)):
                raise
            return _decode(without_texts(data), limits)
    except UnidentifiedImageError:
        return _unidentified(data, limits)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return RowError("too_many_pixels", str(error))
    except MemoryError:
        return RowError("out_of_memory", "not enough memory to decode the picture")
    except Exception as error:  # noqa: BLE001 - row boundary: Pillow's plug-ins raise anything on hostile bytes
        return _broken(error)


def _decode(data: bytes, limits: DecodeLimits) -> DecodedImage | RowError:
    """Raises what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=limits.formats) as image:
        width, height = image.size
        if width * height > limits.max_pixels:
            return RowError("too_many_pixels", f"{width} x {height} pixels, the limit is {limits.max_pixels} in all")
        name = f"{image.format}{_DEEP.get(image.mode.partition(';')[0], '')}"
        return DecodedImage(resize(image.convert("RGB")), width, height, name)


def decoder_versions() -> dict[str, str]:
    """Pillow and the libraries that it decodes with: pixels may differ from one version to another."""
    libraries = ("libjpeg_turbo", "zlib", "webp", "avif", "jpg_2000", "libtiff")
    return {"pillow": PIL.__version__} | {name: str(features.version(name) or "none") for name in libraries}


def resize(image: Image.Image) -> PixelArray:
    """Bicubic to 448 x 448 with Pillow: OpenCV and torchvision differ by up to 9 grey levels."""
    square = image.resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX), Image.Resampling.BICUBIC)
    return np.asarray(square, dtype=np.uint8)


def too_large(num_bytes: int, limits: DecodeLimits) -> RowError:
    return RowError("too_large", f"{num_bytes} bytes, the limit is {limits.max_bytes}")


def leave_limits_to_decode() -> None:
    """Switches off Pillow's own pixel limit and warnings, for processes that only decode through `decode`."""
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module="PIL")


@contextmanager
def own_pixel_limit() -> Iterator[None]:
    """Does what `leave_limits_to_decode` does, but only inside: the process has other users of Pillow too."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        leave_limits_to_decode()
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _unidentified(data: bytes, limits: DecodeLimits) -> RowError:
    claims = [name for name, (_, accept) in Image.OPEN.items() if accept and _starts_alike(data, accept)]
    for name in claims:
        if name in limits.formats:
            return RowError("corrupt", f"starts like {name} but has no valid header")
    if claims:
        return RowError("unsupported_format", f"{claims[0]} is not among the formats asked for")
    return RowError("unsupported_format", "not an image in any format asked for")


def _starts_alike(data: bytes, accept: Callable[[bytes], bool | str]) -> bool:
    try:
        return accept(data[:16]) is True
    except (SyntaxError, IndexError, TypeError, struct.error):  # those that `Image.open` expects of less than 16 bytes
        return False


# What Pillow's numbers and shortest messages mean; an EOFError has none: `PIL.ImageFile.ERRORS`, and its decoders in C.
_MEANINGS = {
    "broken data stream when reading image file": "the compressed data is damaged",
    "cannot load this image": "the picture cannot be loaded",
    "codec configuration error when reading image file": "the header asks for what the decoder cannot do",
    "decoder error -2": "the compressed data is damaged",
    "tile cannot extend outside image": "the header places a part of the picture outside of it",
    "Truncated File Read": "the file ends in the middle",
    "not enough image data": "there is less data than the header says",
    "": "the file ends in the middle",
}


def _broken(error: Exception) -> RowError:
    message = " ".join(str(error).split())
    is_truncated = isinstance(error, EOFError) or "truncated" in message.lower()
    if (message or isinstance(error, EOFError)) and message in _MEANINGS:
        message = f"{_MEANINGS[message]} (Pillow: {message or type(error).__name__})"
    elif not message or not isinstance(error, OSError | ValueError | SyntaxError | RuntimeError):
        # An error inside of a plug-in, whose message alone says nothing.
        message = f"Pillow cannot decode it: {type(error).__name__} {message}".rstrip()
    return RowError("truncated" if is_truncated else "corrupt", message)
