"""The safetensors files of a checkpoint: which there are, and what each holds, without reading weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - a safe_open file cannot be iterated
                    if key in tensors:
                        raise BadCheckpoint(f"{path}: {key} is also in {tensors[key].path.name}")
                    header = file.get_slice(key)
                    tensors[key] = StoredTensor(path, tuple(header.get_shape()), header.get_dtype())
        except (SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{path}: not a whole safetensors file ({error})") from error
    return tensors


def expected_path(directory: Path, key: str) -> Path:
    """The file in which a missing tensor should be: by the index, else the only file, else the directory."""
    paths = shard_paths(directory)
    name = _index(directory).get(key)
    return directory / name if name else paths[0] if len(paths) == 1 else directory


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
