"""The safetensors files of a checkpoint: which there are, and what each holds, without reading weights."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from artimuse.errors import BadCheckpoint

INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as its file's header describes it."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    """The type as safetensors names it: BF16, F32, ..."""
    offset: int
    """Where in the file its bytes begin."""
    num_bytes: int


def shard_paths(directory: Path) -> list[Path]:
    """The weight files in name order: those of the index if there is one, else every *.safetensors.

    Raises BadCheckpoint if one is missing, or if there are none.
    """
    listed = sorted(set(_index(directory).values()))
    paths = [directory / name for name in listed] or sorted(directory.glob("*.safetensors"))
    for path in paths:
        if not path.is_file():
            raise BadCheckpoint(f"{path}: missing, but {INDEX_NAME} lists it")
    if not paths:
        pickles = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in directory.glob(kind))
        found = f"only {pickles[0]}, which is a pickle" if pickles else "no weights"
        raise BadCheckpoint(f"{directory}: {found}; only safetensors files are loaded")
    return paths


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint by its key. Raises BadCheckpoint on a broken file or a key stored twice."""
    tensors: dict[str, StoredTensor] = {}
    for path in shard_paths(directory):
        try:
            with safe_open(path, framework="pt"):
                pass  # it opens only what is whole: the tensors fill the file to its end
            for key, tensor in _tensors_of(path).items():
                if key in tensors:
                    raise BadCheckpoint(f"{path}: {key} is also in {tensors[key].path.name}")
                tensors[key] = tensor
        except (SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{path}: not a whole safetensors file ({error})") from error
    return tensors


def expected_path(directory: Path, key: str) -> Path:
    """The file in which a missing tensor should be: by the index, else the only file, else the directory."""
    paths = shard_paths(directory)
    name = _index(directory).get(key)
    return directory / name if name else paths[0] if len(paths) == 1 else directory


def _tensors_of(path: Path) -> dict[str, StoredTensor]:
    """What a whole file's header says. safetensors itself does not tell where in the file a tensor is (0.8)."""
    with path.open("rb") as file:
        [num_bytes] = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(num_bytes))
        data = file.tell()
    header.pop("__metadata__", None)
    return {
        key: StoredTensor(path, tuple(entry["shape"]), entry["dtype"], data + start, end - start)
        for key, entry in header.items()
        for start, end in [entry["data_offsets"]]
    }


def _index(directory: Path) -> Mapping[str, str]:
    """Tensor key -> file name; empty without an index."""
    path = directory / INDEX_NAME
    if not path.exists():
        return {}
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        return {str(key): str(name) for key, name in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"{path}: not an index of safetensors files ({error!r})") from error
