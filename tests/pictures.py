"""Small pictures for tests, good and bad, made on the spot."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(level: int = 128, *, width: int = 64, height: int = 48) -> Image.Image:
    """Noise around a brightness, so that the fake engine's score is about `level / 2.55`."""
    noise = np.random.default_rng(level).integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_that_declares(width: int, height: int) -> bytes:
    """A PNG with a header for this size and no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def good_folder(folder: Path, count: int) -> Path:
    """`count` pictures, each brighter than the last."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i:04d}.png").write_bytes(encoded(picture(40 + i * 170 // max(count - 1, 1))))
    return folder


def mixed_folder(folder: Path) -> dict[str, str | None]:
    """Good files with awkward names, and one bad file of every kind: image_id -> error code, None for good."""
    good = encoded(picture(), "JPEG")
    whole = encoded(picture(width=320, height=240), "JPEG")
    contents: dict[bytes, tuple[bytes, str | None]] = {
        b"plain.jpg": (good, None),
        b"a name with spaces.jpg": (good, None),
        "sunset \N{SUNRISE} \N{PARTY POPPER}.jpg".encode(): (good, None),
        b"latin-\xe9\xff.jpg": (good, None),
        b"sub/deeper/UPPER.JPG": (good, None),
        b"empty.jpg": (b"", "corrupt"),
        b"cut.jpg": (whole[: len(whole) // 2], "truncated"),
        b"text.jpg": (b"I am a letter, not a picture.\n", "unsupported_format"),
        b"bomb.png": (png_that_declares(100_000, 100_000), "too_many_pixels"),
    }
    expected: dict[str, str | None] = {"dangling.png": "not_found"}
    for name, (data, code) in contents.items():
        path = os.fsencode(folder) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib takes no bytes
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)
        expected[name.decode("utf-8", "backslashreplace")] = code
    (folder / "dangling.png").symlink_to(folder / "nothing-here.png")
    return expected
