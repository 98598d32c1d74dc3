"""Checkpoints as published: `InternVLChatModel`, whose own code is not run; the native network takes its weights.

Written ones are for that code too, on the transformers 4.37.2 that it pins.
Source: the published ArtiMuse checkpoints and the official evaluation code, commit 750d980.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import InternVLConfig, Qwen2Tokenizer

from artimuse.errors import BadCheckpoint
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.model.config_file import ConfigFile
from artimuse.model.layout import Layout, Source, Sources, Weights, build_config

# Native spelling -> stored spelling, replaced in this order in every native weight name.
_RENAMED = (
    ("model.vision_tower.embeddings.cls_token", "vision_model.embeddings.class_embedding"),
    ("model.vision_tower.embeddings.position_embeddings", "vision_model.embeddings.position_embedding"),
    ("model.vision_tower.embeddings.patch_embeddings.projection.", "vision_model.embeddings.patch_embedding."),
    ("model.vision_tower.encoder.layer.", "vision_model.encoder.layers."),
    (".attention.projection_layer.", ".attn.proj."),
    (".attention.", ".attn."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".lambda_", ".ls"),
    ("model.multi_modal_projector.layer_norm.", "mlp1.0."),
    ("model.multi_modal_projector.linear_1.", "mlp1.1."),
    ("model.multi_modal_projector.linear_2.", "mlp1.3."),
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)
_PROJECTION = re.compile(r"\.attn\.([qkv])_proj\.")

_TEXT_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
)
_VISION_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "norm_type",
    "image_size",
    "patch_size",
    "num_channels",
)
# Native keys without an official one: the official code works as if they were so.
_IMPLIED: tuple[tuple[str, object], ...] = (
    ("tie_word_embeddings", False),
    ("text_config.tie_word_embeddings", False),
    ("text_config.use_sliding_window", False),
    ("projector_hidden_act", "gelu"),
    ("vision_config.use_mean_pooling", True),
    ("vision_config.use_mask_token", False),
    ("vision_config.use_absolute_position_embeddings", True),
)


def network_config(config: ConfigFile) -> InternVLConfig:
    """Maps the published config.json; several defaults of the native network would be wrong for it."""
    config.expect("llm_config.architectures", (["Qwen2ForCausalLM"],))
    config.expect("llm_config.use_sliding_window", (False,), default=False)
    config.expect("template", ("internvl2_5",))
    config.expect("ps_version", ("v2",))
    config.expect("select_layer", (-1,))
    config.expect("force_image_size", (IMAGE_SIZE_PX,), default=IMAGE_SIZE_PX)
    text = {key: config.get(f"llm_config.{key}") for key in _TEXT_KEYS} | {
        "rope_parameters": _rope_parameters(config),
        "tie_word_embeddings": config.get("llm_config.tie_word_embeddings", False),
    }
    vision = {key: config.get(f"vision_config.{key}") for key in _VISION_KEYS} | {
        "attention_bias": config.get("vision_config.qkv_bias"),
        "use_qk_norm": config.get("vision_config.qk_normalization"),
        "use_mean_pooling": True,  # natively this means: no LayerNorm at the end, and there is none
    }
    return build_config(config, text, vision)


def sources(native_names: Collection[str], stored_keys: Collection[str]) -> Sources:
    """Finds each native weight among the stored keys, inside LoRA wrappers where there are any.

    LoRA is recognised by its keys: `use_llm_lora` in config.json may be stale.
    """
    wrapped_keys = {_unwrap(key): key for key in stored_keys}
    return {name: _source(_stored_name(name), wrapped_keys) for name in native_names}


def stored_config(native: ConfigFile, tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    """What the published config.json files say, less what is the default of the official code."""
    for key, implied in _IMPLIED:
        if native.get(key) != implied:
            raise BadCheckpoint(
                f"{native.path}: {key} is {native.get(key)!r}, but the official layout always means {implied!r}"
            )
    # transformers 4.37.2 leaves Qwen2's positions as they are; dynamic does too, up to max_position_embeddings.
    native.expect("text_config.rope_parameters.rope_type", ("default", "dynamic"))
    return {
        "downsample_ratio": native.get("downsample_ratio"),
        # One picture of one size and no tiles, for other programs that read this layout.
        "dynamic_image_size": False,
        "force_image_size": IMAGE_SIZE_PX,
        "llm_config": _stored_text_config(native, tokenizer),
        "max_dynamic_patch": 1,
        "min_dynamic_patch": 1,
        "model_type": "internvl_chat",
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": -1,
        "system_message": native.get("system_message"),
        "template": "internvl2_5",
        "tie_word_embeddings": False,
        "torch_dtype": native.get("dtype"),
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": False,
        "vision_config": _stored_vision_config(native),
    }


def stored_weights(weights: Weights) -> Weights:
    """Fuses q, k and v where the last of the three comes; the others are held until then."""
    held: dict[str, dict[str, torch.Tensor]] = {}
    for native_name, weight in weights:
        name = _stored_name(native_name)
        projection = _PROJECTION.search(name)
        if projection is None:
            yield name, weight
            continue
        name = _PROJECTION.sub(".attn.qkv.", name)
        parts = held.setdefault(name, {})
        parts[projection[1]] = weight
        if len(parts) == 3:
            yield name, torch.cat([parts[part] for part in "qkv"])
            del held[name]


def _stored_text_config(native: ConfigFile, tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    rope = dict(native.get("text_config.rope_parameters"))
    theta, kind = rope.pop("rope_theta"), rope["rope_type"]
    return {key: native.get(f"text_config.{key}") for key in _TEXT_KEYS} | {
        "architectures": ["Qwen2ForCausalLM"],
        # Qwen2 has none, but the official code generates only with one: first in its answer, it must be left out there.
        "bos_token_id": tokenizer.pad_token_id,
        "model_type": "qwen2",
        "rope_scaling": None if kind == "default" else {**rope, "type": kind},
        "rope_theta": theta,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
    }


def _stored_vision_config(native: ConfigFile) -> dict[str, Any]:
    return {key: native.get(f"vision_config.{key}") for key in _VISION_KEYS} | {
        "architectures": ["InternVisionModel"],
        "image_size": _side(native, "vision_config.image_size"),
        "model_type": "intern_vit_6b",
        "patch_size": _side(native, "vision_config.patch_size"),
        "qk_normalization": native.get("vision_config.use_qk_norm"),
        "qkv_bias": native.get("vision_config.attention_bias"),
    }


def _side(native: ConfigFile, key: str) -> int:
    """Pixels. The official layout has one number where the native one has height and width."""
    height, width = native.get(key)
    if height != width:
        raise BadCheckpoint(f"{native.path}: {key} is {native.get(key)}, but the official layout has only squares")
    return int(height)


def _rope_parameters(config: ConfigFile) -> dict[str, object]:
    scaling = dict(config.get("llm_config.rope_scaling", {}))
    kind = scaling.pop("type", "default")
    return {"rope_type": kind, **scaling, "rope_theta": config.get("llm_config.rope_theta")}


def _stored_name(native_name: str) -> str:
    for native, stored in _RENAMED:
        native_name = native_name.replace(native, stored)
    return native_name


def _source(name: str, wrapped_keys: Mapping[str, str]) -> Source:
    projection = _PROJECTION.search(name)
    name = _PROJECTION.sub(".attn.qkv.", name)
    module, _, kind = name.rpartition(".")
    lora_names = (f"{module}.lora_A.default.weight", f"{module}.lora_B.default.weight")
    has_lora = kind == "weight" and any(lora_name in wrapped_keys for lora_name in lora_names)
    key, key_a, key_b = (wrapped_keys.get(stored, stored) for stored in (name, *lora_names))
    return Source(
        key,
        part="qkv".index(projection[1]) if projection else None,
        lora=(key_a, key_b) if has_lora else None,
    )


def _unwrap(key: str) -> str:
    """The key without what peft puts around a model (`base_model.model.`) and a layer (`base_layer.`)."""
    return key.replace(".base_model.model.", ".", 1).replace(".base_layer.", ".")


OFFICIAL = Layout("InternVLChatModel", network_config, sources, stored_config, stored_weights)
