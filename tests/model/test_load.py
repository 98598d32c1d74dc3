"""Checkpoints of every layout are loaded as the network that they hold."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from artimuse.model.load import Network, load_network, read_spec
from tests.model.checkpoints import (
    NANO,
    change_config,
    checkpoint,
    hub_spelling,
    nano_weights,
    official_weights,
    read_json,
    with_lora,
    write_json,
    write_native,
    write_official,
)


def load(directory: Path, dtype: torch.dtype = torch.float32) -> Network:
    return load_network(checkpoint(directory), dtype=dtype, device="cpu")


def assert_weights_of_nano(directory: Path, atol: float = 0) -> None:
    loaded = load(directory).model.state_dict()
    assert loaded.keys() == nano_weights().keys()
    for key, weight in nano_weights().items():
        torch.testing.assert_close(loaded[key], weight, rtol=0, atol=atol, msg=key)


def test_native_layout_of_transformers_5_is_loaded_as_it_is(tmp_path):
    assert_weights_of_nano(write_native(tmp_path))


def test_native_layout_with_the_keys_of_the_hub_repositories_is_loaded(tmp_path):
    assert_weights_of_nano(write_native(tmp_path, hub_spelling(nano_weights())))


def test_older_spelling_of_the_rotary_settings_is_understood(tmp_path):
    write_native(tmp_path)
    config = read_json(tmp_path / "config.json")
    rope = config["text_config"].pop("rope_parameters")
    config["text_config"] |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    write_json(tmp_path / "config.json", config)
    assert load(tmp_path).model.config.text_config.rope_parameters["rope_theta"] == 1e6


def test_what_transformers_saves_is_loaded(tmp_path):
    network = load(NANO)
    shutil.copytree(NANO, tmp_path, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    network.model.save_pretrained(tmp_path)
    assert_weights_of_nano(tmp_path)


def test_official_layout_is_loaded(tmp_path):
    assert_weights_of_nano(write_official(tmp_path))


def test_official_layout_is_loaded_from_several_files(tmp_path):
    assert_weights_of_nano(write_official(tmp_path, num_shards=3))


def test_lora_spread_over_several_files_is_merged(tmp_path):
    assert_weights_of_nano(write_official(tmp_path, with_lora(official_weights()), num_shards=4), atol=1e-6)


def test_tied_embeddings_are_one_parameter(tmp_path):
    weights = nano_weights()
    del weights["lm_head.weight"]
    write_native(tmp_path, weights)
    change_config(tmp_path, tie_word_embeddings=True, text_config__tie_word_embeddings=True)
    model = load(tmp_path).model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_stored_output_layer_is_used_even_if_the_config_says_tied(tmp_path):
    write_native(tmp_path)
    change_config(tmp_path, tie_word_embeddings=True, text_config__tie_word_embeddings=True)
    model = load(tmp_path).model
    assert not torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


def test_network_is_ready_for_inference():
    model = load(NANO, torch.bfloat16).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    # In bfloat16 the rotary frequencies of neighbouring positions would be equal.
    assert model.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    assert model.config.text_config._attn_implementation == "sdpa"


def test_loading_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    load(NANO)
    assert torch.equal(before, torch.get_rng_state())


def test_loaded_weights_do_not_depend_on_their_files(tmp_path):
    write_native(tmp_path, {key: weight.bfloat16() for key, weight in nano_weights().items()})
    model = load(tmp_path, torch.bfloat16).model
    before = model.lm_head.weight.clone()
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(2**17)
        file.write(bytes(2**19))
    assert torch.equal(model.lm_head.weight, before)


# The peak of this address space: ru_maxrss would start with that of the process that runs the tests.
PEAK_MEMORY_SCRIPT = """
import sys
from pathlib import Path
import torch
from artimuse.model.find import Checkpoint, find_checkpoint
from artimuse.model.load import load_network

def peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

load_network(find_checkpoint("nano"), dtype=torch.bfloat16, device="cpu")
before = peak_bytes()
network = load_network(Checkpoint(Path(sys.argv[1]), "large"), dtype=torch.bfloat16, device="cpu")
print(peak_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_needs_little_more_memory_than_the_weights(tmp_path):
    """In a process of its own, whose peak is that of the loading alone."""
    num_layers, width = 64, 4096
    inner = read_spec(checkpoint(NANO)).config.get_text_config().intermediate_size
    weights = official_weights()
    for key in [key for key in weights if ".layers.0." in key and key.startswith("language_model.")]:
        shape = [width if size == inner else size for size in weights[key].shape]
        for layer in range(num_layers):
            weights[key.replace(".0.", f".{layer}.")] = torch.ones(shape)
    weights = {key: weight.bfloat16() for key, weight in with_lora(weights).items()}
    write_official(tmp_path, weights, num_shards=8)
    change_config(tmp_path, llm_config__num_hidden_layers=num_layers, llm_config__intermediate_size=width)
    num_bytes = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert num_bytes > 100e6
    script = [sys.executable, "-c", PEAK_MEMORY_SCRIPT, str(tmp_path)]
    # Large blocks straight from the system, so that the peak does not depend on the heap's fragmentation.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    grown = int(subprocess.run(script, env=environment, check=True, capture_output=True, text=True).stdout)
    assert grown < 1.4 * num_bytes
