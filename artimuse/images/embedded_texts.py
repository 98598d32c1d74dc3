"""The texts inside an image file: PNG's text chunks, and the EXIF fields of JPEG, WebP and PNG that hold text.

Parsed here and not by Pillow, because PNG texts may stand behind the pixels, and no pixel is to be decoded for them.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

MAX_TEXT_BYTES = 2**20
"""The most bytes of one text; longer ones are left out. Workflows of ComfyUI take some 100 kB."""

_MAX_CHUNKS = 10_000
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_PNG, _JPEG, _RIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF"
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286
_EXIF_TAGS = {"ImageDescription": 0x010E, "Make": 0x010F, "Model": 0x0110, "Software": 0x0131}


def read_texts(data: bytes) -> dict[str, str]:
    """Keyword -> text. EXIF goes by its tag names, with `UserComment`; PNG's own texts come first.

    Raises anything on hostile bytes, but reads and unpacks no more than `MAX_TEXT_BYTES` for each text.
    """
    if data.startswith(_PNG):
        return _png_texts(data)
    if data.startswith(_JPEG):
        return _exif_texts(next(_jpeg_exif(data), b""))
    if data.startswith(_RIFF) and data[8:12] == b"WEBP":
        return _exif_texts(next((body for kind, body in _riff_chunks(data) if kind == b"EXIF"), b""))
    return {}


def without_texts(data: bytes) -> bytes:
    """A PNG without the chunks that hold texts or a colour profile: its pixels do not depend on them."""
    kept, position = [data[: len(_PNG)]], len(_PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind not in (*_TEXT_CHUNKS, b"iCCP"):
            kept.append(data[position : position + 12 + length])
        position += 12 + length
    return b"".join(kept)


def _png_texts(data: bytes) -> dict[str, str]:
    texts, exif = dict[str, str](), b""
    for kind, body in _png_chunks(data):
        if kind == b"eXIf":
            exif = body
        elif kind in _TEXT_CHUNKS:
            keyword, _, rest = body.partition(b"\0")
            if (text := _png_text(kind, rest)) is not None:
                texts.setdefault(keyword.decode("latin-1"), text)
    return _exif_texts(exif) | texts


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Small chunks; the others are jumped over."""
    position = len(_PNG)
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        if length <= MAX_TEXT_BYTES and kind != b"IDAT":
            yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def _png_text(kind: bytes, rest: bytes) -> str | None:
    """None if it unpacks to too much."""
    encoding = "utf-8" if kind == b"iTXt" else "latin-1"
    is_packed = kind == b"zTXt"
    if kind == b"iTXt":
        is_packed, rest = rest[0] == 1, rest[2:].split(b"\0", 2)[2]
    elif is_packed:
        rest = rest[1:]
    if is_packed:
        unpacker = zlib.decompressobj()
        rest = unpacker.decompress(rest, MAX_TEXT_BYTES)
        if unpacker.unconsumed_tail:
            return None
    return rest.decode(encoding, "replace")


def _jpeg_exif(data: bytes) -> Iterator[bytes]:
    """The segments before the pixels."""
    position = 2
    for _ in range(_MAX_CHUNKS):
        if position + 4 > len(data) or data[position] != 0xFF or data[position + 1] in (0xDA, 0xD9):
            return
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            yield data[position + 4 : position + 2 + length]
        position += 2 + length


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + min(length, MAX_TEXT_BYTES)] if kind == b"EXIF" else b""
        position += 8 + length + length % 2


def _exif_texts(block: bytes) -> dict[str, str]:
    if not block:
        return {}
    exif = Image.Exif()
    exif.load(block)
    texts = {name: value for name, tag in _EXIF_TAGS.items() if isinstance(value := exif.get(tag), str)}
    comment = exif.get_ifd(_EXIF_POINTER).get(_USER_COMMENT)
    if isinstance(comment, bytes):
        texts["UserComment"] = _user_comment(comment)
    return {name: text.strip("\0") for name, text in texts.items()}


def _user_comment(comment: bytes) -> str:
    """Behind eight bytes that name its encoding. UTF-16 comes in both byte orders, whatever the file's own is."""
    encoding, text = comment[:8], comment[8:]
    if encoding != b"UNICODE\0":
        return text.decode("utf-8", "replace")
    is_little = text[1::2].count(0) > text[::2].count(0)
    return text.decode("utf-16-le" if is_little else "utf-16-be", "replace")
