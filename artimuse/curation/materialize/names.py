"""Keys of images as names of files that every disk can hold, inside DEST and nowhere else.

What a name may not have is written as `%` and two hexadecimal digits for each byte, as in a URL. Names that are one on
a disk that ignores case, or that are too long, get `~` and a digest of the key before their suffix.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from artimuse.configs.limits import DEFAULT_FORMATS

OWN_NAMES = frozenset({"materialize.json", ".materialize", ".lock", "metadata.jsonl", "readme.md"})
"""What DEST has beside the images, in lower case."""
MAX_SEGMENT_BYTES = 180
"""Most systems allow 255 in one segment; a file that is being written and its caption need some more."""
MAX_NAME_BYTES = 800
"""S3 allows 1,024 in a key, of which DEST needs some."""

_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "PPM": ".ppm",
    "JPEG2000": ".jp2",
}
# Controls, what Windows refuses, and what turns the direction of the text around it, and so hides a suffix.
_REFUSED = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]')
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)")
_TAGGED = re.compile(r"~[0-9a-f]{16}(?=\.|$)")


@dataclass(frozen=True, slots=True)
class NameRule:
    """How a format names its files."""

    folder: str = ""
    """The folder of the images in DEST, with `/` at its end."""
    is_flat: bool = False
    """All files are in one folder: `/` becomes `-`, also behind the name of a table."""
    has_sidecars: bool = False
    """`a.jpg` and `a.png` would share `a.txt`, and so are one name."""


@dataclass(frozen=True, slots=True)
class SafeName:
    """The file of an image, relative to DEST."""

    name: str
    """Without a suffix if neither the key nor the format tells one."""
    is_mapped: bool
    """The name is not the key with its suffix."""


def safe_name(image_id: str, file_format: str | None, rule: NameRule, *, table_name: str | None) -> SafeName:
    """The name of an image's file, which other images may have as well: `collisions.py` finds those.

    `table_name` is that of its folder, for a selection of several tables.
    """
    known = image_id if suffix_of_name(image_id) else image_id + suffix_of_format(file_format)
    wanted = known.replace("/", "-") if rule.is_flat else known
    segments = [_safe_segment(segment) for segment in wanted.split("/") if segment] or ["%"]
    is_mapped = "/".join(segments) != known
    above = [] if table_name is None else [_safe_segment(table_name.replace("/", "_"))]
    if len("/".join(segments).encode()) > MAX_NAME_BYTES:
        segments, is_mapped = segments[-1:], True
    name = ("-" if rule.is_flat else "/").join([*above, *segments])
    if not rule.folder and name.partition("/")[0].casefold() in OWN_NAMES:
        name, is_mapped = _escape(name[0]) + name[1:], True
    name = rule.folder + name
    if (is_mapped and _is_long(known)) or _TAGGED.search(name):
        return SafeName(tagged(name, f"{table_name}/{image_id}"), is_mapped=True)
    return SafeName(name, is_mapped=is_mapped)


def tagged(name: str, key: str) -> str:
    """The name with a digest of the key before its suffix, which no other image has."""
    suffix = suffix_of_name(name)
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{name.removesuffix(suffix)}~{digest}{suffix}"


def fold(name: str, rule: NameRule) -> str:
    """Names that fold to the same one are one file, or would share a caption, on some disk."""
    if rule.has_sidecars:
        name = name.removesuffix(suffix_of_name(name))
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def possible_files(name: str, rule: NameRule) -> list[str]:
    """The files that an image of this name may lead to, none of which may be the name of a folder.

    Without a suffix any may follow, once the image has been read.
    """
    if not rule.has_sidecars:
        return [name]
    with_suffixes = [] if suffix_of_name(name) else [name + suffix for suffix in sorted({*_SUFFIXES.values()})]
    return [name, *with_suffixes, sidecar(name)]


def sidecar(name: str) -> str:
    """The file with the caption of an image."""
    return name.removesuffix(suffix_of_name(name)) + ".txt"


def suffix_of_format(file_format: str | None) -> str:
    """The suffix of files of a format as the score table names it; empty if it is not known."""
    return _SUFFIXES.get((file_format or "").partition(" ")[0], "")


def suffix_of_name(name: str) -> str:
    """As it is written, dot included; empty if it is none of an image."""
    dot, suffix = name.rpartition(".")[1:]
    return dot + suffix if dot and f".{suffix.lower()}" in _image_suffixes() else ""


@lru_cache(maxsize=1)
def _image_suffixes() -> frozenset[str]:
    names = {*DEFAULT_FORMATS, "MPO"}
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in names)


@lru_cache(maxsize=2**16)
def _safe_segment(segment: str) -> str:
    safe = _REFUSED.sub(lambda match: _escape(match[0]), segment)
    if safe[0] == "." or _DEVICE.match(safe):
        safe = _escape(safe[0]) + safe[1:]
    return _shortened(_with_safe_end(safe))


def _shortened(segment: str) -> str:
    if len(segment.encode()) <= MAX_SEGMENT_BYTES:
        return segment
    suffix = suffix_of_name(segment)
    cut = segment.encode()[: MAX_SEGMENT_BYTES // 2].decode(errors="ignore")
    return _with_safe_end(cut + suffix)


def _with_safe_end(segment: str) -> str:
    """Windows refuses a dot or a space there."""
    return segment[:-1] + _escape(segment[-1]) if segment[-1] in ". " else segment


def _is_long(key: str) -> bool:
    """True if two keys that are this long may have been cut to the same name."""
    return len(key.encode()) > MAX_SEGMENT_BYTES


def _escape(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
