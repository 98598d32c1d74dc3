import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.images.decode import DecodedImage, decode

LIMITS = DecodeLimits()


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def code_of(data: bytes, limits: DecodeLimits = LIMITS) -> str:
    result = decode(data, limits)
    assert isinstance(result, RowError)
    return result.code


def pixels_of(data: bytes) -> np.ndarray:
    result = decode(data, LIMITS)
    assert isinstance(result, DecodedImage), result
    return result.pixels_HWC


def test_pixels_equal_the_official_code_bit_by_bit(test_data: Path):
    images = test_data / "fixtures/official/images"
    expected = json.loads((test_data / "fixtures/official/tiny/expected.json").read_text())["images"]
    assert len(expected) == 17
    for name, facts in expected.items():
        pixels = pixels_of((images / name).read_bytes())
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == facts["resized_u8_sha256"], name


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_448_pixels_square_rgb(mode):
    image = noise().convert("L" if mode == "I;16" else mode)
    image = image.convert("I;16") if mode == "I;16" else image
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    result = decode(data, LIMITS)
    assert isinstance(result, DecodedImage)
    assert result.pixels_HWC.shape == (448, 448, 3)
    assert (result.width, result.height) == (64, 48)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_every_default_format_is_decoded_and_named(file_format):
    result = decode(encoded(noise(), file_format), LIMITS)
    assert isinstance(result, DecodedImage)
    assert result.format == file_format


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
def test_long_texts_and_profiles_of_a_png_change_no_pixel(kind, where):
    """Each chunk unpacks to 2 MiB; of plain texts there are 70 of 1 MiB."""
    packed = zlib.compress(bytes(2 * 2**20))
    body = {b"zTXt": b"workflow\0\0", b"iTXt": b"workflow\0\1\0\0\0", b"iCCP": b"profile\0\0"}.get(kind)
    bodies = [body + packed] if body else [b"workflow\0" + b"x" * 2**20] * 70
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for body in bodies
    )
    plain = encoded(noise())
    place = plain.index(b"IDAT" if where == "before" else b"IEND") - 4
    limits = DecodeLimits(max_bytes=2**30)
    found = decode(plain[:place] + chunks + plain[place:], limits)
    assert isinstance(found, DecodedImage), found
    assert (found.pixels_HWC == pixels_of(plain)).all()


def test_alpha_is_dropped_not_composited():
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    assert (pixels_of(encoded(image)) == (200, 100, 50)).all()


def test_exif_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise()
    rotated, plain = encoded(image, "JPEG", exif=exif), encoded(image, "JPEG")
    assert (pixels_of(rotated) == pixels_of(plain)).all()


def test_sixteen_bit_gray_clips_at_255():
    image = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    assert (pixels_of(encoded(image)) == 255).all()


def test_the_first_frame_of_an_animation_is_taken():
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    data = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert (pixels_of(data) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("mode", "file_format", "name"),
    [
        ("L", "PNG", "PNG"),
        ("1", "PNG", "PNG"),
        ("P", "GIF", "GIF"),
        ("I;16", "PNG", "PNG deep"),
        ("I", "TIFF", "TIFF deep"),
        ("F", "TIFF", "TIFF float"),
    ],
)
def test_the_format_says_if_pixels_are_deeper_than_the_model_sees(mode, file_format, name):
    result = decode(encoded(Image.new(mode, (8, 8)), file_format), LIMITS)
    assert isinstance(result, DecodedImage)
    assert result.format == name


def test_an_empty_file_is_corrupt():
    assert code_of(b"") == "corrupt"


@pytest.mark.parametrize("num_bytes", range(1, 16))
def test_a_file_of_a_few_bytes_is_a_failed_row(num_bytes):
    """Pillow's plug-ins read numbers at its start, of which there may be less."""
    Image.init()
    assert code_of(b"x" * num_bytes) == code_of(b"\0" * num_bytes) == "unsupported_format"
    assert code_of(b"BM" + b"x" * (num_bytes - 1)) == "corrupt"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_a_file_cut_in_half_is_truncated_and_not_padded(file_format):
    data = encoded(noise(320, 240), file_format)
    assert code_of(data[: len(data) // 2]) in {"truncated", "corrupt"}


def test_a_truncated_jpeg_is_called_truncated():
    data = encoded(noise(320, 240), "JPEG")
    assert code_of(data[: len(data) // 2]) == "truncated"


def test_what_is_wrong_is_a_sentence_and_not_a_number_of_pillows():
    data = bytearray(encoded(noise(), "TIFF", compression="tiff_lzw"))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    result = decode(bytes(data), LIMITS)
    assert result == RowError("corrupt", "the compressed data is damaged (Pillow: decoder error -2)")


def test_an_error_inside_of_pillow_says_that_it_is_one(monkeypatch):
    """A plug-in that stumbles over hostile bytes, as they did and will again."""

    def stumble(*_: object, **__: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(Image, "open", stumble)
    result = decode(encoded(noise()), LIMITS)
    assert result == RowError("corrupt", "Pillow cannot decode it: IndexError list index out of range")


def test_text_is_an_unsupported_format():
    assert code_of(b"this is not an image, whatever its name says") == "unsupported_format"


def test_a_known_start_without_a_header_is_corrupt():
    assert code_of(b"\x89PNG\r\n\x1a\n") == "corrupt"


def test_a_format_that_was_not_asked_for_is_unsupported_and_named():
    result = decode(encoded(noise(), "TIFF"), DecodeLimits(formats=("PNG", "JPEG")))
    assert isinstance(result, RowError)
    assert result.code == "unsupported_format"
    assert "TIFF" in result.message


def test_a_header_of_100000_by_100000_is_refused_before_pixels_are_decoded():
    assert code_of(png_header(100_000, 100_000)) == "too_many_pixels"


def test_the_pixel_limit_is_the_one_configured():
    assert code_of(encoded(noise(64, 48)), DecodeLimits(max_pixels=64 * 48 - 1)) == "too_many_pixels"
    assert isinstance(decode(encoded(noise(64, 48)), DecodeLimits(max_pixels=64 * 48)), DecodedImage)


def test_more_bytes_than_the_limit_are_too_large():
    assert code_of(encoded(noise()), DecodeLimits(max_bytes=100)) == "too_large"


@pytest.mark.parametrize("formats", [(), ("JPG",), ("PNG", "NOPE")])
def test_unknown_formats_are_refused_with_those_pillow_reads(formats):
    with pytest.raises(ValueError, match="JPEG2000"):
        DecodeLimits(formats=formats)
