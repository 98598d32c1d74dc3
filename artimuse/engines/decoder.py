"""The language model as the engines run it: transformers' Qwen2 modules under a forward pass of our own.

Ours, because the pass owns the keys and values: they are kept for the part of the prompt that all questions share,
written into memory that never moves, and read without being repeated for the query heads that share them.
"""

# B sequences, S new tokens, P past ones, D hidden size, J key-value heads, G query heads for each, E head size
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import InternVLForConditionalGeneration

from artimuse.engines.attention import attend_causal, attend_grouped
from artimuse.errors import BadCheckpoint

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Layer, queries (B, JG, S, E), new keys and values (B, J, S, E) -> (B, JG, S, E)."""


@dataclass(frozen=True, slots=True)
class KeysValues:
    """Keys and values of some tokens: per layer (B, J, S, E)."""

    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]

    def select(self, rows: slice | torch.Tensor) -> "KeysValues":
        return KeysValues(tuple(part[rows] for part in self.keys), tuple(part[rows] for part in self.values))

    @property
    def num_tokens(self) -> int:
        return self.keys[0].shape[2]


class Decoder:
    """Token or image embeddings in, hidden states out."""

    def __init__(self, model: InternVLForConditionalGeneration) -> None:
        """Raises BadCheckpoint for attention windows and activations that no InternVL3 has."""
        text: Any = model.model.language_model
        if text.config.hidden_act != "silu":
            raise BadCheckpoint(
                f"the language model's hidden_act is {text.config.hidden_act!r}; this engine runs 'silu'"
            )
        if any(kind != "full_attention" for kind in text.config.layer_types):
            raise BadCheckpoint("the language model has sliding attention windows, which this engine does not run")
        self.text = text
        self.head: nn.Linear = model.lm_head
        self.num_layers: int = text.config.num_hidden_layers
        self.num_kv_heads: int = text.config.num_key_value_heads
        self.head_size: int = text.layers[0].self_attn.head_dim
        self.dtype: torch.dtype = self.head.weight.dtype
        self.device: torch.device = self.head.weight.device

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.text.embed_tokens(token_ids)
        return embeddings

    def rotary(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (*positions, E)."""
        cos, sin = self.text.rotary_emb(self.head.weight, positions.reshape(1, -1))
        return cos.view(*positions.shape, -1), sin.view(*positions.shape, -1)

    def prefill(
        self,
        hidden_BSD: torch.Tensor,
        positions_S: torch.Tensor,
        *,
        answers: torch.Tensor,
        past: KeysValues | None = None,
        mask: torch.Tensor | None = None,
        keep: int = 0,
    ) -> tuple[torch.Tensor, KeysValues]:
        """Hidden states at the indices `answers`, and the keys and values of the first `keep` new tokens.

        `mask` (S, P + S) is True where a token may look; None is the ordinary one, without a past.
        """
        keys, values = [], []

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            # Copies: a view would keep the keys of the whole prompt alive.
            keys.append(k[:, :, :keep].clone())
            values.append(v[:, :, :keep].clone())
            if past is not None:
                k, v = torch.cat([past.keys[layer], k], 2), torch.cat([past.values[layer], v], 2)
            if mask is not None:
                return attend_grouped(q, k, v, mask if q.shape[2] == len(mask) else mask[answers])
            if q.shape[2] == k.shape[2]:
                return attend_causal(q, k, v)
            causal = torch.arange(k.shape[2], device=self.device) <= answers[:, None]
            return attend_grouped(q, k, v, causal)

        hidden_BAD = self.forward(hidden_BSD, self.rotary(positions_S), attend, answers)
        return hidden_BAD, KeysValues(tuple(keys), tuple(values))

    def forward(
        self,
        hidden_BSD: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        attend: Attend,
        answers: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states after the last norm; only those at the indices `answers`, if given.

        `rotary` is (S, E), or (B, 1, S, E) for sequences at different positions.
        """
        cos, sin = rotary
        for i, layer in enumerate(self.text.layers):
            normed = _norm(hidden_BSD, layer.input_layernorm)
            k = _rotated(self._heads(layer.self_attn.k_proj(normed)), cos, sin)
            v = self._heads(layer.self_attn.v_proj(normed))
            if answers is not None and i == self.num_layers - 1:
                # Nobody looks at the other tokens any more.
                normed, hidden_BSD, cos, sin = normed[:, answers], hidden_BSD[:, answers], cos[answers], sin[answers]
            q = _rotated(self._heads(layer.self_attn.q_proj(normed)), cos, sin)
            attended = attend(i, q, k, v).transpose(1, 2).flatten(2)
            hidden_BSD = hidden_BSD + layer.self_attn.o_proj(attended)
            hidden_BSD = hidden_BSD + _swiglu(_norm(hidden_BSD, layer.post_attention_layernorm), layer.mlp)
        return _norm(hidden_BSD, self.text.norm)

    def _heads(self, projected: torch.Tensor) -> torch.Tensor:
        return projected.view(*projected.shape[:-1], -1, self.head_size).transpose(1, 2)


def _swiglu(hidden: torch.Tensor, mlp: Any) -> torch.Tensor:
    # In place: these are by far the largest tensors of the pass, and writing them costs as much as multiplying.
    gate = functional.silu(mlp.gate_proj(hidden), inplace=True)
    projected: torch.Tensor = mlp.down_proj(gate.mul_(mlp.up_proj(hidden)))
    return projected


def _norm(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = heads.shape[-1] // 2
    turned = torch.cat((-heads[..., half:], heads[..., :half]), dim=-1)
    return heads * cos + turned * sin
