import weakref
from collections.abc import Iterator

import pytest
import torch
from safetensors import safe_open

from artimuse.errors import BadOutput
from artimuse.model.shard_writer import write_shards
from artimuse.model.shards import stored_tensors
from tests.model.checkpoints import read_json

WEIGHTS = {name: torch.full((size,), size, dtype=torch.bfloat16) for name, size in zip("edcba", (10, 20, 30, 100, 5))}


def test_weights_that_fit_are_one_file(tmp_path):
    write_shards(tmp_path, iter(WEIGHTS.items()), max_shard_bytes=2 * 165)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert {name: file.get_tensor(name).tolist() for name in WEIGHTS} == {
            name: weight.tolist() for name, weight in WEIGHTS.items()
        }


def test_files_are_filled_in_the_order_of_the_stream(tmp_path):
    write_shards(tmp_path, iter(WEIGHTS.items()), max_shard_bytes=2 * 50)
    shards = [f"model-0000{shard}-of-00004.safetensors" for shard in (1, 2, 3, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*shards, "model.safetensors.index.json"]
    assert read_json(tmp_path / "model.safetensors.index.json") == {
        "metadata": {"total_size": 2 * 165},
        # c does not fit to e and d; b is larger than a file should be
        "weight_map": {"e": shards[0], "d": shards[0], "c": shards[1], "b": shards[2], "a": shards[3]},
    }
    stored = stored_tensors(tmp_path)
    assert {name: tensor.path.name for name, tensor in stored.items()} == dict(zip("edcba", [*shards[:1], *shards]))
    assert {name: tensor.shape for name, tensor in stored.items()} == {
        name: tuple(weight.shape) for name, weight in WEIGHTS.items()
    }


def test_memory_holds_one_file_at_a_time(tmp_path):
    weights: list[weakref.ref[torch.Tensor]] = []
    num_alive = []

    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        for number in range(20):
            num_alive.append(sum(weight() is not None for weight in weights))
            weight = torch.zeros(100)
            weights.append(weakref.ref(weight))
            yield str(number), weight
            del weight

    write_shards(tmp_path, stream(), max_shard_bytes=3 * 400)
    assert len(list(tmp_path.glob("*.safetensors"))) == 7
    assert max(num_alive) == 3


def test_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(BadOutput, match=r"missing/0\.unfinished: cannot be written"):
        write_shards(tmp_path / "missing", iter(WEIGHTS.items()), max_shard_bytes=100)
