"""What generators write into their images: the prompt, the negative prompt, the seed and their own name.

Understood are the layouts of Stable Diffusion web UI (AUTOMATIC1111, Forge, SD.Next, Civitai), ComfyUI, InvokeAI,
NovelAI and Fooocus. A camera's description or an editor's name is not taken for a prompt or a generator.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from artimuse.images.embedded_texts import read_texts

META_NAMES = ("prompt", "negative_prompt", "seed", "generator")

_MAX_LINKS = 100
"""Followed from a sampler to its prompt in a ComfyUI graph."""
_SETTINGS = re.compile(r"^Steps: \d+, ", re.MULTILINE)
_NEGATIVE = re.compile(r"^Negative prompt: ?", re.MULTILINE)

Found = dict[str, Any]
Texts = Mapping[str, str]


def read_metadata(data: bytes) -> dict[str, str | None]:
    """What a generator wrote into one image file, under `META_NAMES`. Never raises: what is absent is None."""
    found: Found = {}
    try:
        texts = read_texts(data)
        found = next((found for read in _READERS if (found := read(texts))), {})
    except Exception:  # noqa: BLE001 - row boundary: anything may be in these bytes, and the picture may be good
        pass
    return {name: _as_text(found.get(name)) for name in META_NAMES}


def _of_fooocus(texts: Texts) -> Found:
    if "fooocus_scheme" not in texts or not texts.get("parameters", "").startswith("{"):
        return {}
    values = json.loads(texts["parameters"])
    return {**_picked(values, "prompt", "negative_prompt", "seed"), "generator": values.get("version") or "Fooocus"}


def _of_web_ui(texts: Texts) -> Found:
    """Prompt, negative prompt and a line of settings, in a PNG text or an EXIF comment."""
    for name in ("parameters", "UserComment", "ImageDescription"):
        text = texts.get(name, "")
        settings = list(_SETTINGS.finditer(text))
        if settings:
            # The last one: a prompt may quote another image's settings.
            prompts, line = text[: settings[-1].start()], text[settings[-1].start() :]
            prompt, *negative = _NEGATIVE.split(prompts, maxsplit=1)
            values = dict(pair.split(": ", 1) for pair in line.splitlines()[0].split(", ") if ": " in pair)
            return {
                "prompt": prompt,
                "negative_prompt": "".join(negative),
                "seed": values.get("Seed"),
                "generator": " ".join(filter(None, ("Stable Diffusion web UI", values.get("Version")))),
            }
    # Without settings it is still nobody else's keyword.
    return {"prompt": texts["parameters"], "generator": "Stable Diffusion web UI"} if "parameters" in texts else {}


def _of_invoke(texts: Texts) -> Found:
    if "invokeai_metadata" in texts:
        values = json.loads(texts["invokeai_metadata"])
        return {
            "prompt": values.get("positive_prompt"),
            "negative_prompt": values.get("negative_prompt"),
            "seed": values.get("seed"),
            "generator": " ".join(filter(None, ("InvokeAI", values.get("app_version")))),
        }
    if "sd-metadata" not in texts:
        return {}
    image = json.loads(texts["sd-metadata"])["image"]
    prompts = image["prompt"] if isinstance(image["prompt"], list) else [{"prompt": image["prompt"]}]
    return {"prompt": prompts[0]["prompt"], "seed": image.get("seed"), "generator": "InvokeAI"}


def _of_novel_ai(texts: Texts) -> Found:
    if texts.get("Software") != "NovelAI":
        return {}
    values = json.loads(texts.get("Comment") or "{}")
    return {
        "prompt": texts.get("Description") or values.get("prompt"),
        "negative_prompt": values.get("uc"),
        "seed": values.get("seed"),
        "generator": " ".join(filter(None, ("NovelAI", texts.get("Source")))),
    }


def _of_comfy(texts: Texts) -> Found:
    """The graph that ran is in `prompt`; WebP files have it in an EXIF field, behind its name."""
    graphs = [texts.get("prompt", "")]
    graphs += [text.partition(":")[2] for text in texts.values() if text.lower().startswith("prompt:")]
    for text in graphs:
        if text.lstrip().startswith("{"):
            nodes = json.loads(text)
            samplers = [node["inputs"] for node in nodes.values() if {"positive", "guider"} & set(node["inputs"])]
            found = [_of_sampler(nodes, inputs) for inputs in samplers]
            best = next((values for values in found if values["prompt"]), {})
            seeds = (node["inputs"].get(name) for node in nodes.values() for name in ("seed", "noise_seed"))
            seed = next((seed for seed in seeds if isinstance(seed, int)), None)
            return {"seed": seed, **best, "generator": "ComfyUI"}
    return {"generator": "ComfyUI"} if "workflow" in texts else {}


def _of_sampler(nodes: Mapping[str, Any], inputs: Mapping[str, Any]) -> Found:
    found = {
        "prompt": next(_texts_behind(nodes, inputs, "positive"), None),
        "negative_prompt": next(_texts_behind(nodes, inputs, "negative"), None),
    }
    seed = inputs.get("seed", inputs.get("noise_seed"))
    return {**found, "seed": seed} if isinstance(seed, int) else found


def _texts_behind(nodes: Mapping[str, Any], inputs: Mapping[str, Any], side: str) -> Iterator[str]:
    """What is written in the nodes that feed one side of a sampler, the nearest first."""
    # A guider of one conditioning has no negative side; one behind `conditioning` would be the positive prompt.
    start = (side, "guider")
    onward = (side, "conditioning", "conditioning_1", *_WRITTEN)
    pending = _links(inputs, start)
    is_start = side not in inputs
    for _ in range(_MAX_LINKS):
        if not pending:
            return
        fed = nodes.get(str(pending.pop(0)[0]), {}).get("inputs", {})
        yield from (fed[name] for name in _WRITTEN if isinstance(fed.get(name), str) and fed[name].strip())
        pending += _links(fed, (side,) if is_start and side == "negative" else onward)
        is_start = False


def _links(inputs: Mapping[str, Any], names: Sequence[str]) -> list[list[Any]]:
    """A link is the id of a node with the number of its output."""
    return [inputs[name] for name in names if isinstance(inputs.get(name), list) and inputs[name]]


_WRITTEN = ("text", "text_g", "t5xxl", "prompt", "string", "value", "populated_text", "wildcard_text")
_READERS: tuple[Callable[[Texts], Found], ...] = (_of_fooocus, _of_web_ui, _of_invoke, _of_novel_ai, _of_comfy)


def _picked(values: Mapping[str, Any], *names: str) -> Found:
    return {name: values.get(name) for name in names}


def _as_text(value: Any) -> str | None:
    """Strings and numbers; JSON may hold characters that no table can."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).encode("utf-8", "backslashreplace").decode().strip() or None
