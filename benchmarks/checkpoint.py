"""A checkpoint with random weights and real geometry, written as fast as the disk's cache takes it.

Unlike `model/save.py` it does not wait for the disk, and writes its files side by side.
"""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from artimuse.bench.networks import PRESETS, random_weights
from artimuse.io.prefetch import prefetch
from artimuse.model.build import empty_model
from artimuse.model.config_file import ConfigFile, write_json
from artimuse.model.find import find_checkpoint
from artimuse.model.save import LAYOUTS
from artimuse.model.shards import INDEX_NAME
from artimuse.model.tokenizer_files import read_tokenizer

NUM_SHARDS = 4
NUM_THREADS = 8
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")

Place = tuple[int, int]  # a file's descriptor, and the position in it


def write_random_checkpoint(directory: Path, preset: str, *, layout: str, tokenizer: Path | None) -> int:
    """Writes bfloat16 weights in several files, and returns their bytes.

    `tokenizer` is a directory with a vocabulary, such as Qwen2.5's; None takes the built-in model's, which is small.
    """
    directory.mkdir(parents=True)
    stored = LAYOUTS[layout]
    _write_tokenizer(directory, tokenizer or find_checkpoint("nano").directory)
    model = empty_model(PRESETS[preset])
    values = json.loads(PRESETS[preset].to_json_string()) | {"dtype": "bfloat16", "system_message": ""}
    native = ConfigFile(directory / "config.json", values)
    vocabulary = read_tokenizer(directory, PRESETS[preset].get_text_config().vocab_size)
    write_json(native.path, stored.stored_config(native, vocabulary) | {"architectures": [stored.architecture]})
    shapes = {key: weight.shape for key, weight in stored.stored_weights(iter(model.state_dict().items()))}
    places, files = _write_headers(directory, shapes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = stored.stored_weights(random_weights(model, torch.bfloat16, device))
    num_bytes = _write_weights(weights, places)
    for file in files:
        os.close(file)
    return num_bytes


def _write_tokenizer(directory: Path, source: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, directory / name)


def _write_headers(directory: Path, shapes: dict[str, torch.Size]) -> tuple[dict[str, Place], list[int]]:
    """Where each tensor belongs, in files that begin with what safetensors wants to know."""
    most_bytes = 2 * sum(shape.numel() for shape in shapes.values()) // NUM_SHARDS + 1
    shards: list[dict[str, torch.Size]] = [{}]
    for key, shape in shapes.items():
        if 2 * sum(other.numel() for other in shards[-1].values()) >= most_bytes:
            shards.append({})
        shards[-1][key] = shape
    names = [f"model-{number + 1:05}-of-{len(shards):05}.safetensors" for number in range(len(shards))]
    weight_map = {key: name for name, shard in zip(names, shards) for key in shard}
    write_json(directory / INDEX_NAME, {"metadata": {}, "weight_map": weight_map})
    places: dict[str, Place] = {}
    files = []
    for name, shard in zip(names, shards):
        files.append(os.open(directory / name, os.O_RDWR | os.O_CREAT))
        places |= _write_header(files[-1], shard)
    return places, files


def _write_header(file: int, shard: dict[str, torch.Size]) -> dict[str, Place]:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offsets, end = {}, 0
    for key, shape in shard.items():
        offsets[key], end = end, end + 2 * shape.numel()
        entries[key] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offsets[key], end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    os.pwrite(file, len(header).to_bytes(8, "little") + header, 0)
    return {key: (file, 8 + len(header) + offset) for key, offset in offsets.items()}


def _write_weights(weights: Iterator[tuple[str, torch.Tensor]], places: dict[str, Place]) -> int:
    def write(item: tuple[str, torch.Tensor]) -> int:
        key, weight = item
        data = weight.cpu().view(torch.uint8).numpy().data.cast("B")
        file, offset = places[key]
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:], offset + done)
        return done

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        return sum(prefetch(write, weights, threads=threads, ahead=NUM_THREADS))
