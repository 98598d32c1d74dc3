"""A stream of weights into safetensors files, while memory holds about one of them. `shards.py` reads them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from artimuse.errors import BadOutput
from artimuse.model.config_file import write_json
from artimuse.model.layout import Weights
from artimuse.model.shards import INDEX_NAME


def write_shards(directory: Path, weights: Weights, max_shard_bytes: int) -> None:
    """Takes tensors on the CPU that share no memory, and keeps their order.

    One file, or files of at most so many bytes of tensors with an index; a tensor that is larger is alone in its file.
    Raises BadOutput if a file cannot be written.
    """
    keys_by_shard: list[list[str]] = []
    num_bytes = 0
    for tensors in _fill_shards(weights, max_shard_bytes):
        _write(_unfinished_path(directory, len(keys_by_shard)), tensors)
        keys_by_shard.append(list(tensors))
        num_bytes += sum(tensor.nbytes for tensor in tensors.values())
        tensors.clear()  # else it would stay in memory while the next one fills
    names = _shard_names(len(keys_by_shard))
    for shard, name in enumerate(names):
        _unfinished_path(directory, shard).rename(directory / name)
    if len(names) > 1:
        weight_map = {key: name for name, keys in zip(names, keys_by_shard) for key in keys}
        write_json(directory / INDEX_NAME, {"metadata": {"total_size": num_bytes}, "weight_map": weight_map})


def _fill_shards(weights: Weights, max_shard_bytes: int) -> Iterator[dict[str, torch.Tensor]]:
    tensors: dict[str, torch.Tensor] = {}
    num_bytes = 0
    for key, tensor in weights:
        if tensors and num_bytes + tensor.nbytes > max_shard_bytes:
            yield tensors
            tensors, num_bytes = {}, 0
        tensors[key] = tensor
        num_bytes += tensor.nbytes
    yield tensors


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    try:
        # transformers refuses a file that does not name its format.
        save_file(tensors, path, metadata={"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise BadOutput(f"{path}: cannot be written ({error})") from error


def _shard_names(num_shards: int) -> list[str]:
    if num_shards == 1:
        return ["model.safetensors"]
    return [f"model-{shard:05}-of-{num_shards:05}.safetensors" for shard in range(1, num_shards + 1)]


def _unfinished_path(directory: Path, shard: int) -> Path:
    """Until the end of the stream nobody knows how many files there are, which their names say."""
    return directory / f"{shard}.unfinished"
