"""Prompts as generators write them, in files made here in their layouts; and files of strangers."""

import json
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from artimuse.images.embedded_texts import MAX_TEXT_BYTES
from artimuse.images.metadata import META_NAMES, read_metadata
from tests.pictures import encoded, picture

NOTHING = dict.fromkeys(META_NAMES)

# As AUTOMATIC1111's web UI writes it, with a line break in each prompt.
WEB_UI = """a fox in snow, (detailed:1.2)
sunset
Negative prompt: blurry, Steps: none
low quality
Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1234567890, Size: 512x512, Model: some, Version: v1.9.4"""
WEB_UI_FOUND = {
    "prompt": "a fox in snow, (detailed:1.2)\nsunset",
    "negative_prompt": "blurry, Steps: none\nlow quality",
    "seed": "1234567890",
    "generator": "Stable Diffusion web UI v1.9.4",
}

# ComfyUI's default graph, with one of the texts in a node of its own.
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 42, "positive": ["6", 0], "negative": ["7", 0], "model": ["4", 0], "steps": 20},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "some.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["10", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["4", 1]}},
    "10": {"class_type": "PrimitiveString", "inputs": {"value": "a fox ☃"}},
}
COMFY_FOUND = {"prompt": "a fox ☃", "negative_prompt": "text, watermark", "seed": "42", "generator": "ComfyUI"}
# Its Flux example: noise, guider and sampler are nodes of their own, and nothing is negative.
COMFY_FLUX = {
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["11", 0]}},
    "13": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["25", 0], "guider": ["22", 0]}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["30", 0], "conditioning": ["26", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
}


def png(texts: dict[str, str], *, packed: bool = False, international: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        (info.add_itxt if international else info.add_text)(name, text, zip=packed)
    return encoded(picture(), pnginfo=info)


def exif(tags: dict[int, str], comment: bytes | None = None) -> bytes:
    block = Image.Exif()
    for tag, text in tags.items():
        block[tag] = text
    if comment is not None:
        block[0x8769] = {0x9286: comment}
    return block.tobytes()


def with_exif(file_format: str, tags: dict[int, str], comment: bytes | None = None) -> bytes:
    return encoded(picture(), file_format, exif=exif(tags, comment))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_the_web_uis_parameters_are_read_from_every_kind_of_png_text(packed: bool, international: bool):
    assert read_metadata(png({"parameters": WEB_UI}, packed=packed, international=international)) == WEB_UI_FOUND


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_the_web_uis_comment_is_read_from_exif_in_either_byte_order(file_format: str, encoding: str):
    comment = b"UNICODE\0" + WEB_UI.encode(encoding)
    assert read_metadata(with_exif(file_format, {}, comment)) == WEB_UI_FOUND


def test_a_comment_in_plain_text_is_read():
    assert read_metadata(with_exif("JPEG", {}, b"ASCII\0\0\0" + WEB_UI.encode())) == WEB_UI_FOUND
    assert read_metadata(with_exif("JPEG", {0x010E: WEB_UI})) == WEB_UI_FOUND


def test_parameters_without_a_negative_prompt_or_settings_are_read():
    found = read_metadata(png({"parameters": "a fox\nSteps: 20, Seed: 1"}))
    assert (found["prompt"], found["negative_prompt"], found["seed"]) == ("a fox", None, "1")
    assert read_metadata(png({"parameters": "a fox"}))["prompt"] == "a fox"
    assert read_metadata(png({"parameters": "Steps: 20, Seed: 1"}))["prompt"] is None


@pytest.mark.parametrize("extra", [{}, {"workflow": '{"nodes": []}'}])
def test_comfyuis_graph_is_followed_from_the_sampler_to_its_texts(extra: dict[str, str]):
    assert read_metadata(png({"prompt": json.dumps(COMFY), **extra}, international=True)) == COMFY_FOUND
    assert read_metadata(png({"prompt": json.dumps(COMFY_FLUX), **extra})) == {
        "prompt": "a fox",
        "negative_prompt": None,
        "seed": "7",
        "generator": "ComfyUI",
    }


def test_comfyuis_webp_has_its_graph_in_exif():
    assert read_metadata(with_exif("WEBP", {0x0110: "prompt:" + json.dumps(COMFY)})) == COMFY_FOUND


def test_a_graph_in_a_circle_ends():
    circle: dict[str, Any] = {"1": {"inputs": {"seed": 1, "positive": ["2", 0]}}, "2": {"inputs": {"text": ["2", 0]}}}
    assert read_metadata(png({"prompt": json.dumps(circle)})) == NOTHING | {"seed": "1", "generator": "ComfyUI"}


def test_invokeai_is_read_in_its_new_and_old_layout():
    new = {"positive_prompt": "a fox", "negative_prompt": "blur", "seed": 9, "app_version": "4.2.0"}
    assert read_metadata(png({"invokeai_metadata": json.dumps(new)})) == {
        "prompt": "a fox",
        "negative_prompt": "blur",
        "seed": "9",
        "generator": "InvokeAI 4.2.0",
    }
    old = {"app_id": "invoke-ai/InvokeAI", "image": {"prompt": [{"prompt": "a fox", "weight": 1}], "seed": 9}}
    found = read_metadata(png({"sd-metadata": json.dumps(old)}))
    assert (found["prompt"], found["seed"], found["generator"]) == ("a fox", "9", "InvokeAI")


def test_novelai_and_fooocus_are_read():
    comment = json.dumps({"uc": "bad", "seed": 5, "prompt": "a fox"})
    texts = {"Title": "AI generated image", "Description": "a fox", "Software": "NovelAI", "Comment": comment}
    assert read_metadata(png(texts | {"Source": "NAI V3"})) == {
        "prompt": "a fox",
        "negative_prompt": "bad",
        "seed": "5",
        "generator": "NovelAI NAI V3",
    }
    values = {"prompt": "a fox", "negative_prompt": "", "seed": "8", "version": "Fooocus v2.5.0"}
    assert read_metadata(png({"parameters": json.dumps(values), "fooocus_scheme": "fooocus"})) == {
        "prompt": "a fox",
        "negative_prompt": None,
        "seed": "8",
        "generator": "Fooocus v2.5.0",
    }


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_ordinary_picture_has_none(file_format: str):
    assert read_metadata(encoded(picture(), file_format)) == NOTHING


def test_a_cameras_and_an_editors_words_are_no_prompt():
    camera = {0x010E: "OLYMPUS DIGITAL CAMERA", 0x010F: "OLYMPUS", 0x0110: "E-M1", 0x0131: "Adobe Photoshop 25.0"}
    assert read_metadata(with_exif("JPEG", camera, b"ASCII\0\0\0birthday")) == NOTHING
    assert read_metadata(png({"Software": "gnome-screenshot", "Comment": "{", "Description": "x"})) == NOTHING


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(*chunks: bytes) -> bytes:
    whole = encoded(picture())
    return whole[:33] + b"".join(chunks) + whole[33:]


def test_a_text_behind_the_pixels_is_read():
    whole = encoded(picture())
    assert read_metadata(whole[:-12] + chunk(b"tEXt", b"parameters\0a fox") + whole[-12:])["prompt"] == "a fox"


def test_a_text_that_unpacks_to_gigabytes_is_left_packed():
    bomb = zlib.compress(bytes(50 * MAX_TEXT_BYTES))
    assert read_metadata(with_chunk(chunk(b"zTXt", b"parameters\0\0" + bomb))) == NOTHING
    assert read_metadata(with_chunk(chunk(b"tEXt", b"parameters\0" + b"x" * MAX_TEXT_BYTES))) == NOTHING


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": "[" * 100_000},
        {"prompt": '{"1": 5}'},
        {"prompt": '{"1": {"inputs": {"positive": ["9"]}}}'},
        {"prompt": '{"1": {"inputs": {"positive": [[]], "seed": 1e400}}}'},
        {"prompt": "{"},
        {"invokeai_metadata": "[]"},
        {"invokeai_metadata": '{"positive_prompt": {"a": 1}, "seed": NaN}'},
        {"sd-metadata": "{}"},
        {"Software": "NovelAI", "Comment": "null"},
        {"parameters": "5", "fooocus_scheme": "x"},
        {"parameters": "Steps: 1, " * 1000},
        {"parameters": '{"prompt": "\\ud800"}', "fooocus_scheme": "x"},
    ],
)
def test_texts_of_another_make_are_no_error(texts: dict[str, str]):
    for value in read_metadata(png(texts)).values():
        assert value is None or value.encode()


def test_no_damage_raises():
    wholes = [
        png({"parameters": WEB_UI, "prompt": json.dumps(COMFY)}, packed=True, international=True),
        with_exif("JPEG", {0x010E: WEB_UI}, b"UNICODE\0" + WEB_UI.encode("utf-16-be")),
        with_exif("WEBP", {0x0110: "prompt:" + json.dumps(COMFY)}),
    ]
    generator = random.Random(1)
    for _ in range(600):
        data = bytearray(generator.choice(wholes))
        for _ in range(generator.randrange(1, 6)):
            data[generator.randrange(min(len(data), 2000))] = generator.randrange(256)
        found = read_metadata(bytes(data[: generator.randrange(len(data))]))
        assert list(found) == list(META_NAMES)


def test_hardly_any_bytes_hold_nothing():
    assert read_metadata(b"") == NOTHING
    assert read_metadata(b"\xff\xd8\xff\xe1") == NOTHING
