"""From a configuration and a stream of weights to a network on its device, without a second copy of any of them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import InternVLConfig, InternVLForConditionalGeneration


def empty_model(config: InternVLConfig) -> InternVLForConditionalGeneration:
    """The network without values: nothing is allocated and no random weights are drawn."""
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(config)
    model.set_attn_implementation("sdpa")
    return model


def fill(
    model: InternVLForConditionalGeneration, weights: Iterable[tuple[str, torch.Tensor]], device: torch.device
) -> None:
    """Takes the weights as they are, by native name, and makes the network ready for inference.

    Without a weight of its own the output layer is the input embeddings' one.
    """
    for name, weight in weights:
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, nn.Parameter(weight, requires_grad=False))
    if model.lm_head.weight.is_meta:
        model.lm_head.weight = model.get_input_embeddings().weight
    _remake_computed_buffers(model, device)
    model.train(False)


def _remake_computed_buffers(model: nn.Module, device: torch.device) -> None:
    """Makes modules with computed, not stored, buffers again (rotary frequencies): on meta they have no values."""
    for name, module in list(model.named_modules()):
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            parent, _, leaf = name.rpartition(".")
            make: Any = type(module)
            setattr(model.get_submodule(parent), leaf, make(module.config).to(device))
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
