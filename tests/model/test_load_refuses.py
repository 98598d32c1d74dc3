"""Checkpoints that are not loaded, and what is said of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artimuse.errors import BadCheckpoint
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


def assert_refused(directory: Path, *words: object, dtype: torch.dtype = torch.float32) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        load(directory, dtype)
    for word in words:
        assert str(word) in str(caught.value)


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


def test_weights_of_another_kind_of_number_are_refused(tmp_path):
    weights = nano_weights()
    weights["lm_head.weight"] = weights["lm_head.weight"].to(torch.int8)
    write_native(tmp_path, weights)
    assert_refused(tmp_path, tmp_path / "model.safetensors", "lm_head.weight", "is stored as I8")


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
