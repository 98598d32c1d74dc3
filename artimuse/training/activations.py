"""What of a layer is kept for its backward pass: of as many layers everything as there is memory for."""

# T tokens, D hidden size, M channels of the MLP, E head size
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from artimuse.training.layers import Kept

SPARE = 0.08
"""Share of the device's memory that is never planned with: the allocator cannot use every gap."""
_GRADIENT_BYTES = 4
_BUCKET_BYTES = 4 * 10**8
"""What DeepSpeed gathers gradients in (`sharding.py`)."""


def compute_again(layers: Iterable[Any]) -> None:
    """Has layers keep their input only.

    Not transformers' own way, which before 5.20 is around the layer's hooks, so that those of ZeRO-3 run twice.
    """
    for layer in layers:
        layer.forward = _computed_again(layer.forward)


def _computed_again(forward: Any) -> Any:
    def forward_again(hidden_states: torch.Tensor, **others: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(hidden_states, **others)
        return checkpoint(forward, hidden_states, use_reentrant=False, **others)

    return forward_again


class MemoryPlan:
    """Decides before each pass through the language model how many of its layers keep everything."""

    def __init__(self, model: Any, kept: Kept) -> None:
        self.kept = kept
        self.config = model.model.language_model.config
        self.vocabulary = model.lm_head.weight.shape[0] if hasattr(model.lm_head, "weight") else self.config.vocab_size
        self.num_trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        self.item_bytes = model.dtype.itemsize

    def decide(self, num_tokens: int, num_answer_tokens: int, *, has_mask: bool, device: torch.device) -> None:
        """Without a GPU nothing is known about its memory, and nothing more is kept."""
        if device.type == "cuda":
            spare = _free_bytes(device) - self._needed_bytes(num_tokens, num_answer_tokens)
            most = self.config.num_hidden_layers
            self.kept.num_layers = min(most, max(0, int(spare // self._layer_bytes(num_tokens, has_mask))))

    def _layer_bytes(self, num_tokens: int, has_mask: bool) -> int:
        """Of a layer that keeps everything, besides what each keeps: see `layers.py`."""
        config = self.config
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        # Keys and values have as many heads as queries where there is a mask.
        num_hidden = 7 if has_mask else 5
        per_token = num_hidden * config.hidden_size + 4 * head_size + 2 * config.intermediate_size
        return int(self.item_bytes * num_tokens * per_token)

    def _needed_bytes(self, num_tokens: int, num_answer_tokens: int) -> int:
        config = self.config
        both_inputs = 2 * config.hidden_size * config.num_hidden_layers
        backward_of_a_layer = 6 * config.intermediate_size + 8 * config.hidden_size
        logits = 3 * self.item_bytes * num_answer_tokens * self.vocabulary
        gradients = _GRADIENT_BYTES * self.num_trained + _BUCKET_BYTES
        return int(self.item_bytes * num_tokens * (both_inputs + backward_of_a_layer) + logits + gradients)


def _free_bytes(device: torch.device) -> int:
    """What this process could still allocate."""
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused - SPARE * total)
