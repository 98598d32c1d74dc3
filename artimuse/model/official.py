"""Checkpoints as published: `InternVLChatModel`, whose own code is not run; the native network takes its weights.

Source: the published ArtiMuse checkpoints and the official evaluation code, commit 750d980.
"""

import re
from collections.abc import Collection, Mapping

from transformers import InternVLConfig

from artimuse.images import IMAGE_SIZE_PX
from artimuse.model.config_file import ConfigFile
from artimuse.model.layout import Layout, Source, Sources, build_config

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


OFFICIAL = Layout(network_config, sources)
