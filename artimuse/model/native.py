"""Checkpoints of transformers' native network: `OpenGVLab/InternVL3-*-hf`, our own exports, and nano."""

from collections.abc import Collection
from typing import Any

from transformers import InternVLConfig, Qwen2Tokenizer

from artimuse.model.config_file import ConfigFile
from artimuse.model.layout import Layout, Source, Sources, Weights, build_config

# Native spelling -> the spelling of the `-hf` repositories on the Hub, which transformers 4 wrote.
_HUB_PREFIXES = (
    ("model.language_model.", "language_model.model."),
    ("model.vision_tower.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("lm_head.", "language_model.lm_head."),
)


def network_config(config: ConfigFile) -> InternVLConfig:
    """Takes the rotary settings in both spellings: `rope_parameters`, and the older `rope_theta`."""
    config.expect("text_config.model_type", ("qwen2",))
    config.expect("vision_feature_layer", (-1,), default=-1)
    config.expect("vision_feature_select_strategy", ("default",), default="default")
    config.expect("projector_hidden_act", ("gelu",), default="gelu")
    text = dict(config.get("text_config"))
    # Older files have this key in either place; `load.py` prefers a stored lm_head to what it says.
    is_tied = config.get("tie_word_embeddings", False)
    text["tie_word_embeddings"] = config.get("text_config.tie_word_embeddings", is_tied)
    return build_config(config, text, config.get("vision_config"))


def sources(native_names: Collection[str], stored_keys: Collection[str]) -> Sources:
    """Names are the native ones, or those of the `-hf` repositories if any stored key starts like them."""
    prefixes = tuple(hub for _, hub in _HUB_PREFIXES)
    is_hub_spelling = any(key.startswith(prefixes) for key in stored_keys)
    return {name: Source(_hub_name(name) if is_hub_spelling else name) for name in native_names}


def _hub_name(native_name: str) -> str:
    for native, hub in _HUB_PREFIXES:
        if native_name.startswith(native):
            return hub + native_name.removeprefix(native)
    return native_name


def stored_config(native: ConfigFile, tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    return dict(native.values)


def stored_weights(weights: Weights) -> Weights:
    """The weights as they are: the names are those of transformers 5."""
    return weights


NATIVE = Layout("InternVLForConditionalGeneration", network_config, sources, stored_config, stored_weights)
