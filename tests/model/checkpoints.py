"""Small checkpoints for tests, in every layout, made from the built-in model's weights."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from artimuse.model.find import Checkpoint, find_checkpoint

NANO = find_checkpoint("nano").directory
Weights = dict[str, torch.Tensor]


def checkpoint(directory: Path) -> Checkpoint:
    return Checkpoint(directory, str(directory))


def nano_weights() -> Weights:
    """float32, so that what LoRA adds is not rounded away."""
    return {key: weight.float() for key, weight in load_file(NANO / "model.safetensors").items()}


def write_native(directory: Path, weights: Weights | None = None) -> Path:
    _copy_nano_without_weights(directory)
    save_file(nano_weights() if weights is None else weights, directory / "model.safetensors")
    return directory


def hub_spelling(weights: Weights) -> Weights:
    """Keys as the `-hf` repositories of the Hub have them."""
    return {
        key.replace("model.language_model.", "language_model.model.", 1)
        if key.startswith("model.language_model.")
        else f"language_model.{key}"
        if key.startswith("lm_head.")
        else key.removeprefix("model."): weight
        for key, weight in weights.items()
    }


def write_official(directory: Path, weights: Weights | None = None, num_shards: int = 1) -> Path:
    _copy_nano_without_weights(directory)
    write_json(directory / "config.json", official_config())
    weights = official_weights() if weights is None else weights
    if num_shards == 1:
        save_file(weights, directory / "model.safetensors")
        return directory
    weight_map = {}
    for shard in range(num_shards):
        name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        keys = sorted(weights)[shard::num_shards]  # neighbours, such as A and B of one LoRA, in different files
        save_file({key: weights[key] for key in keys}, directory / name)
        weight_map |= dict.fromkeys(keys, name)
    write_json(directory / "model.safetensors.index.json", {"weight_map": weight_map})
    return directory


def official_weights() -> Weights:
    native = nano_weights()
    return {key: _fused(native, key, weight) for key, weight in _official_keys(native)}


def with_lora(weights: Weights, rank: int = 4) -> Weights:
    """The same network as a base and a LoRA on every matrix of the language model's layers."""
    torch.manual_seed(0)
    wrapped: Weights = {}
    for key, weight in weights.items():
        name = key.replace("language_model.", "language_model.base_model.model.", 1)
        if "_proj." not in key:
            wrapped[name] = weight
            continue
        module, _, kind = name.rpartition(".")
        wrapped[f"{module}.base_layer.{kind}"] = weight
        if kind == "weight":
            matrix_a, matrix_b = 0.1 * torch.randn(rank, weight.shape[1]), 0.1 * torch.randn(weight.shape[0], rank)
            wrapped[f"{module}.base_layer.{kind}"] = weight - 2 * matrix_b @ matrix_a
            wrapped[f"{module}.lora_A.default.weight"] = matrix_a
            wrapped[f"{module}.lora_B.default.weight"] = matrix_b
    return wrapped


def official_config() -> dict[str, Any]:
    native = read_json(NANO / "config.json")
    text, vision = native["text_config"], native["vision_config"]
    rope = text.pop("rope_parameters")
    return {
        "architectures": ["InternVLChatModel"],
        "downsample_ratio": 0.5,
        "force_image_size": 448,
        "llm_config": {
            **text,
            "architectures": ["Qwen2ForCausalLM"],
            "rope_scaling": {"factor": rope["factor"], "rope_type": rope["rope_type"], "type": rope["rope_type"]},
            "rope_theta": rope["rope_theta"],
        },
        "ps_version": "v2",
        "select_layer": -1,
        "system_message": None,
        "template": "internvl2_5",
        "vision_config": {
            **vision,
            "image_size": 448,
            "num_channels": 3,
            "patch_size": 32,
            "qk_normalization": False,
            "qkv_bias": True,
        },
    }


def change_config(directory: Path, **changes: Any) -> None:
    """Sets keys of config.json; a double underscore goes one level down."""
    config = read_json(directory / "config.json")
    for name, value in changes.items():
        *parents, leaf = name.split("__")
        section = config
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    write_json(directory / "config.json", config)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def _copy_nano_without_weights(directory: Path) -> None:
    shutil.copytree(NANO, directory, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)


def _official_keys(native: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    for key, weight in native.items():
        for ours, theirs in (
            ("model.vision_tower.", "vision_model."),
            ("embeddings.cls_token", "embeddings.class_embedding"),
            ("embeddings.position_embeddings", "embeddings.position_embedding"),
            ("embeddings.patch_embeddings.projection", "embeddings.patch_embedding"),
            ("encoder.layer.", "encoder.layers."),
            ("attention.q_proj", "attn.qkv"),
            ("attention.projection_layer", "attn.proj"),
            ("layernorm_before", "norm1"),
            ("layernorm_after", "norm2"),
            ("lambda_", "ls"),
            ("model.multi_modal_projector.layer_norm", "mlp1.0"),
            ("model.multi_modal_projector.linear_1", "mlp1.1"),
            ("model.multi_modal_projector.linear_2", "mlp1.3"),
            ("model.language_model.", "language_model.model."),
            ("lm_head.", "language_model.lm_head."),
        ):
            key = key.replace(ours, theirs)
        if ".attention." not in key:  # what is left of q, k and v is in the fused tensor
            yield key, weight


def _fused(native: Weights, key: str, weight: torch.Tensor) -> torch.Tensor:
    if ".attn.qkv." not in key:
        return weight
    layer, kind = key.split(".")[3], key.rpartition(".")[2]
    prefix = f"model.vision_tower.encoder.layer.{layer}.attention"
    return torch.cat([native[f"{prefix}.{part}_proj.{kind}"] for part in "qkv"])
