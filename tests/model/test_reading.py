"""Stored tensors as they come out of their files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from artimuse.errors import BadCheckpoint
from artimuse.model.reading import _BUFFER_BYTES, TYPES, TensorReader
from artimuse.model.shards import StoredTensor, stored_tensors


def stored(directory: Path, tensors: dict[str, torch.Tensor]) -> dict[str, StoredTensor]:
    save_file(tensors, directory / "model.safetensors")
    return stored_tensors(directory)


@pytest.mark.parametrize("dtype", TYPES.values())
def test_a_tensor_is_read_as_it_was_saved(tmp_path, dtype):
    tensors = {name: torch.randn(shape).to(dtype) for name, shape in {"a": (2, 3), "b": (5,), "c": ()}.items()}
    read = TensorReader("cpu")
    for name, tensor in stored(tmp_path, tensors).items():
        assert read(tensor).dtype == dtype
        assert torch.equal(read(tensor), tensors[name])


def test_a_file_that_has_become_shorter_is_an_error_that_names_it(tmp_path):
    [tensor] = stored(tmp_path, {"a": torch.ones(1000)}).values()
    tensor.path.write_bytes(tensor.path.read_bytes()[:-100])
    with pytest.raises(BadCheckpoint, match=r"model\.safetensors: cannot be read \(it ends 100 bytes early\)"):
        TensorReader("cpu")(tensor)


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path):
    [tensor] = stored(tmp_path, {"a": torch.ones(1)}).values()
    with pytest.raises(BadCheckpoint, match=r"other\.safetensors: cannot be read"):
        TensorReader("cpu")(replace(tensor, path=tmp_path / "other.safetensors"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_tensor_of_many_buffers_comes_whole_to_a_gpu(tmp_path):
    tensors = {"large": torch.randn(_BUFFER_BYTES + 12_345), "small": torch.randn(7)}
    read = TensorReader("cuda")
    for name, tensor in stored(tmp_path, tensors).items():
        assert torch.equal(read(tensor).cpu(), tensors[name])
