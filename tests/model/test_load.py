import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import (
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
from safetensors.torch import load_file, save_file

from artimuse.errors import BadCheckpoint
from artimuse.model.load import Network, load_network, read_spec


def load(directory: Path, dtype: torch.dtype = torch.float32) -> Network:
    return load_network(checkpoint(directory), dtype=dtype, device="cpu")


def assert_weights_of_nano(directory: Path, atol: float = 0) -> None:
    loaded = load(directory).model.state_dict()
    assert loaded.keys() == nano_weights().keys()
    for key, weight in nano_weights().items():
        torch.testing.assert_close(loaded[key], weight, rtol=0, atol=atol, msg=key)


def assert_refused(directory: Path, *words: object, dtype: torch.dtype = torch.float32) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        load(directory, dtype)
    for word in words:
        assert str(word) in str(caught.value)


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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architectures", ["InternVLChatModelV2"]),
        ("llm_config.architectures", ["InternLM2ForCausalLM"]),
        ("llm_config.use_sliding_window", True),
        ("ps_version", "v1"),
        ("select_layer", -4),
        ("template", "internlm2-chat"),
        ("force_image_size", 224),
        ("vision_config.image_size", 224),
    ],
)
def test_official_checkpoint_of_another_kind_is_refused(tmp_path, key, value):
    write_official(tmp_path)
    change_config(tmp_path, **{key.replace(".", "__"): value})
    assert_refused(tmp_path, tmp_path / "config.json", key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text_config.model_type", "llama"),
        ("vision_feature_layer", -2),
        ("vision_feature_select_strategy", "full"),
        ("projector_hidden_act", "relu"),
        ("vision_config.image_size", [336, 336]),
    ],
)
def test_native_checkpoint_of_another_kind_is_refused(tmp_path, key, value):
    write_native(tmp_path)
    change_config(tmp_path, **{key.replace(".", "__"): value})
    assert_refused(tmp_path, tmp_path / "config.json", key)


def test_missing_and_unreadable_config_is_refused(tmp_path):
    assert_refused(tmp_path, tmp_path / "config.json", "missing")
    (tmp_path / "config.json").write_text("{")
    assert_refused(tmp_path, tmp_path / "config.json", "JSON")
    (tmp_path / "config.json").write_text("[]")
    assert_refused(tmp_path, tmp_path / "config.json", "JSON object")


def test_config_without_a_needed_key_is_refused(tmp_path):
    write_official(tmp_path)
    change_config(tmp_path, llm_config__rope_theta=None)
    assert_refused(tmp_path, tmp_path / "config.json", "llm_config.rope_theta")


def test_config_value_of_a_wrong_type_is_refused(tmp_path):
    write_official(tmp_path)
    change_config(tmp_path, llm_config__hidden_size="wide")
    assert_refused(tmp_path, tmp_path / "config.json", "hidden_size")


def test_missing_file_of_several_is_refused(tmp_path):
    write_official(tmp_path, num_shards=3)
    missing = tmp_path / "model-00002-of-00003.safetensors"
    missing.unlink()
    assert_refused(tmp_path, missing, "model.safetensors.index.json")


def test_broken_index_is_refused(tmp_path):
    write_official(tmp_path, num_shards=3)
    write_json(tmp_path / "model.safetensors.index.json", {"weights": {}})
    assert_refused(tmp_path, tmp_path / "model.safetensors.index.json", "weight_map")


def test_truncated_file_is_refused(tmp_path):
    path = write_official(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(tmp_path, path, "not a whole safetensors file")


def test_pickles_are_refused(tmp_path):
    write_official(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert_refused(tmp_path, tmp_path, "pytorch_model.bin", "only safetensors")
    (tmp_path / "pytorch_model.bin").unlink()
    assert_refused(tmp_path, tmp_path, "no weights")


def test_missing_tensor_is_refused_by_its_stored_name(tmp_path):
    key = "vision_model.encoder.layers.1.attn.qkv.bias"
    weights = official_weights()
    del weights[key]
    write_official(tmp_path, weights)
    assert_refused(tmp_path, tmp_path / "model.safetensors", key, "missing")


def test_tensor_that_only_the_index_lists_is_refused_with_its_file(tmp_path):
    write_official(tmp_path, num_shards=3)
    shard = tmp_path / "model-00002-of-00003.safetensors"
    weights = load_file(shard)
    key, _ = weights.popitem()
    save_file(weights, shard)
    assert_refused(tmp_path, shard, key, "missing")


def test_missing_tensor_of_a_hub_repository_is_refused(tmp_path):
    weights = hub_spelling(nano_weights())
    del weights["language_model.lm_head.weight"]
    write_native(tmp_path, weights)
    assert_refused(tmp_path, tmp_path / "model.safetensors", "language_model.lm_head.weight", "missing")


def test_lora_with_only_one_matrix_is_refused(tmp_path):
    key = "language_model.base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight"
    weights = with_lora(official_weights())
    del weights[key]
    write_official(tmp_path, weights)
    assert_refused(tmp_path, tmp_path / "model.safetensors", "layers.0.mlp.up_proj.lora_B", "missing")


def test_unexpected_tensor_is_refused(tmp_path):
    write_native(tmp_path, nano_weights() | {"score_head.weight": torch.zeros(2)})
    assert_refused(tmp_path, tmp_path / "model.safetensors", "score_head.weight", "unexpected")


def test_tensor_of_another_shape_is_refused(tmp_path):
    key = "language_model.base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight"
    weights = with_lora(official_weights())
    weights[key] = torch.zeros(4, 3)
    write_official(tmp_path, weights)
    assert_refused(tmp_path, tmp_path / "model.safetensors", key, "(4, 3)")


def test_tensor_in_two_files_is_refused(tmp_path):
    write_native(tmp_path)
    save_file({"lm_head.weight": torch.zeros(2)}, tmp_path / "old.safetensors")
    assert_refused(tmp_path, tmp_path / "old.safetensors", "lm_head.weight", "model.safetensors")


def test_float16_on_bfloat16_weights_is_refused(tmp_path):
    assert_refused(NANO, NANO / "model.safetensors", "lm_head.weight", "use bfloat16", dtype=torch.float16)
    load(write_native(tmp_path), torch.float16)  # stored in float32: nothing against it


def test_missing_tokenizer_is_refused(tmp_path):
    write_native(tmp_path)
    (tmp_path / "merges.txt").unlink()
    assert_refused(tmp_path, tmp_path / "merges.txt", "missing")


def test_broken_tokenizer_is_refused(tmp_path):
    write_native(tmp_path)
    (tmp_path / "vocab.json").write_text("{")
    assert_refused(tmp_path, tmp_path, "tokenizer")


def test_tokenizer_without_image_tokens_is_refused(tmp_path):
    write_native(tmp_path)
    config = read_json(tmp_path / "tokenizer_config.json")
    tokens = config["added_tokens_decoder"].items()
    config["added_tokens_decoder"] = {i: token for i, token in tokens if token["content"] != "<IMG_CONTEXT>"}
    write_json(tmp_path / "tokenizer_config.json", config)
    assert_refused(tmp_path, tmp_path, "<IMG_CONTEXT>")


def test_vocabulary_smaller_than_the_tokenizer_is_refused(tmp_path):
    write_native(tmp_path)
    change_config(tmp_path, text_config__vocab_size=1000)
    assert_refused(tmp_path, tmp_path / "config.json", "vocab_size", len(read_spec(checkpoint(NANO)).tokenizer))


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
