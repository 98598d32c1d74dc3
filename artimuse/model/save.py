"""From a network to a checkpoint on disk, in either layout: the inverse of `load.py`."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from transformers import InternVLConfig, Qwen2Tokenizer

from artimuse.errors import BadCheckpoint, BadOutput
from artimuse.model.config_file import ConfigFile, write_json
from artimuse.model.find import Checkpoint
from artimuse.model.layout import Layout, LayoutName, Weights
from artimuse.model.load import CheckpointSpec, read_spec
from artimuse.model.native import NATIVE
from artimuse.model.official import OFFICIAL
from artimuse.model.shard_writer import write_shards
from artimuse.model.template import ChatTemplate
from artimuse.model.tokenizer_files import write_tokenizer

LAYOUTS: dict[LayoutName, Layout] = {"native": NATIVE, "official": OFFICIAL}

MAX_SHARD_BYTES = 5 * 10**9
"""The most bytes of tensors in one file."""


def save_checkpoint(
    directory: Path,
    spec: CheckpointSpec,
    weights: Iterable[tuple[str, torch.Tensor]],
    *,
    layout: LayoutName,
    dtype: torch.dtype,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes what `load_network` reads back as the network, tokenizer and prompts of `spec` with these weights.

    They are native names and values on any device, without the output layer if it is the input embeddings' one,
    as `spec.weights` yields them. Each is copied when it comes, so its memory may be used again for the next.

    The directory must be new or empty. It appears in one step when all of it is on disk; a killed process leaves
    `.NAME.*.unfinished` beside it. Everyone may read the files.

    Raises BadOutput if the directory is not empty or cannot be written. Raises BadCheckpoint, naming the key, if the
    layout cannot express the configuration, or if weights are missing, unknown or of another shape.
    """
    directory = directory.expanduser().resolve()  # a link cannot be replaced by a directory
    _refuse_taken(directory)
    stored = LAYOUTS[layout]
    native = ConfigFile(directory / "config.json", _native_values(spec.config, spec.template, dtype))
    file = _stored_file(native, stored, spec.tokenizer, spec.template)
    with _appearing(directory) as unfinished:
        with _explained(directory):
            write_json(unfinished / file.path.name, file.values)
            write_tokenizer(unfinished, spec.tokenizer)
        write_shards(unfinished, stored.stored_weights(_copies(weights, dtype)), max_shard_bytes)
        _check(unfinished, spec.tokenizer)


def _refuse_taken(directory: Path) -> None:
    with _explained(directory):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise BadOutput(f"{directory}: exists and is not an empty directory; a checkpoint needs a new one")
    if directory.is_mount():
        raise BadOutput(f"{directory}: a mount point, which cannot appear in one step; name a directory inside it")


def _native_values(config: InternVLConfig, template: ChatTemplate, dtype: torch.dtype) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(config.to_json_string())
    return values | {
        "dtype": str(dtype).removeprefix("torch."),
        # Always the text itself: an absent key and null mean a text of their own only to those who know.
        "system_message": template.system_message,
    }


def _stored_file(native: ConfigFile, layout: Layout, tokenizer: Qwen2Tokenizer, template: ChatTemplate) -> ConfigFile:
    """What will be config.json. Raises BadCheckpoint if it cannot say what is meant."""
    values = layout.stored_config(native, tokenizer) | {"architectures": [layout.architecture]}
    file = ConfigFile(native.path, values)
    num_image_tokens = ChatTemplate.of(values, layout.network_config(file)).num_image_tokens
    if num_image_tokens != template.num_image_tokens:
        raise ValueError(f"the template has {template.num_image_tokens} image tokens, the network {num_image_tokens}")
    return file


def _copies(weights: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype) -> Weights:
    for name, weight in weights:
        yield name, weight.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)


def _check(directory: Path, tokenizer: Qwen2Tokenizer) -> None:
    """Raises BadCheckpoint if the checkpoint cannot be loaded, or has other token ids than it was given."""
    if read_spec(Checkpoint(directory, str(directory))).tokenizer.get_vocab() != tokenizer.get_vocab():
        raise BadCheckpoint(f"{directory}: the tokenizer gives its tokens other ids when it is read back")


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A directory beside it to be filled, which then gets its name, or is removed if anything fails."""
    unfinished = directory.with_name(f".{directory.name}.{uuid4().hex[:12]}.unfinished")
    try:
        with _explained(directory):
            unfinished.mkdir(parents=True)
        yield unfinished
        with _explained(directory):
            for path in unfinished.iterdir():
                _settle(path)
            unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _settle(path: Path) -> None:
    path.chmod(0o644)  # safetensors makes files that only their owner can read
    with path.open("rb") as file:
        # Without this a power cut can leave the final name on empty files.
        os.fsync(file.fileno())


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadOutput(f"{directory}: cannot be written ({error})") from error
