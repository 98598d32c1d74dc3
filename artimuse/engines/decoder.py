"""The language model as the engines run it: the weights of transformers' Qwen2 under a forward pass of our own.

Ours, because the pass owns the keys and values: they are kept for the part of the prompt that all questions share,
written into memory that never moves, and read without being repeated for the query heads that share them. What lies
between the matrix products is read and written once (`operations/`), and products of the same input are one product.

What tokens look at has three names. A beginning is what all prompts have before the image. A prefix is an image's
prompt up to the end of the image, which its questions share. The past is whatever comes before the tokens of one pass.
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
from artimuse.engines.linear import Input, Linear
from artimuse.engines.operations import Norm, operations_on
from artimuse.errors import BadCheckpoint

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Layer, queries (B, S, JG, E), new keys and values (B, S, J, E) -> (B, S, JG * E)."""


SMALLEST_HEAD = 16
"""The smallest tile of a matrix unit."""

Beginning = tuple[torch.Tensor, ...]
"""Of the tokens that all sequences begin with: per layer all heads (1, P, JG + 2J, E), the queries zero."""


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


class _Layer:
    """The weights of one layer, those of the same input together."""

    def __init__(self, layer: Any, *, in_fp8: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm = Norm.of(layer.input_layernorm)
        self.mlp_norm = Norm.of(layer.post_attention_layernorm)
        self.qkv = Linear.of([attention.q_proj, attention.k_proj, attention.v_proj], in_fp8=in_fp8)
        self.out = Linear.of([attention.o_proj], in_fp8=in_fp8)
        self.gate_up = Linear.of([mlp.gate_proj, mlp.up_proj], in_fp8=in_fp8)
        self.down = Linear.of([mlp.down_proj], in_fp8=in_fp8)


class Decoder:
    """Token or image embeddings in, hidden states out."""

    def __init__(self, model: InternVLForConditionalGeneration, *, in_fp8: bool = False) -> None:
        """Takes over the model's weights. With `in_fp8`, the matrices of the layers and their inputs have 8 bits, and
        the model cannot run on its own after that.

        Raises BadCheckpoint for attention windows, activations and sizes of heads that no InternVL3 has.
        """
        text: Any = model.model.language_model
        if text.config.hidden_act != "silu":
            raise BadCheckpoint(
                f"the language model's hidden_act is {text.config.hidden_act!r}; this engine runs 'silu'"
            )
        if any(kind != "full_attention" for kind in text.config.layer_types):
            raise BadCheckpoint("the language model has sliding attention windows, which this engine does not run")
        self.text = text
        self.in_fp8 = in_fp8
        self.head_weight = model.lm_head.weight
        self._filled_head = _filled_up(model.lm_head)
        self.num_layers: int = text.config.num_hidden_layers
        self.num_heads: int = text.config.num_attention_heads
        self.num_kv_heads: int = text.config.num_key_value_heads
        self.head_size: int = text.layers[0].self_attn.head_dim
        self.dtype: torch.dtype = self.head_weight.dtype
        self.device: torch.device = self.head_weight.device
        has_tiles = self.head_size >= SMALLEST_HEAD and self.head_size & (self.head_size - 1) == 0
        if self.device.type == "cuda" and not has_tiles:
            raise BadCheckpoint(
                f"attention heads of {self.head_size} values; on GPUs this engine runs 16, 32, 64 and so on"
            )
        self.operations = operations_on(self.device)
        self.last_norm = Norm.of(text.norm)
        self.layers = []
        for layer in text.layers:
            self.layers.append(_Layer(layer, in_fp8=in_fp8))
            if in_fp8:
                _forget_matrices(layer)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.text.embed_tokens(token_ids)
        return embeddings

    def next_tokens(self, hidden: torch.Tensor) -> torch.Tensor:
        """The most likely tokens (...) after hidden states (..., D)."""
        logits = functional.linear(hidden, self._filled_head)
        return logits[..., : len(self.head_weight)].argmax(-1)

    def rotary(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (*positions, E)."""
        cos, sin = self.text.rotary_emb(self.head_weight, positions.reshape(1, -1))
        return cos.view(*positions.shape, -1), sin.view(*positions.shape, -1)

    def prefill(
        self,
        hidden_BSD: torch.Tensor,
        positions_S: torch.Tensor,
        *,
        answers: torch.Tensor,
        beginning: Beginning | None = None,
        past: KeysValues | None = None,
        mask: torch.Tensor | None = None,
        keep: slice = slice(0, 0),
    ) -> tuple[torch.Tensor, KeysValues]:
        """Hidden states at the indices `answers`; keys and values of the tokens `keep`, past ones counted.

        The past is a beginning that all sequences share, or the past of each, with a mask: (S, P + S), True where a
        token may look. Without a mask a token looks at all that is before it, and at itself.
        """
        keys, values = [], []

        assert past is None or mask is not None, "what tokens see of their own past, the mask says"

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            if past is not None:
                k, v = torch.cat([past.keys[layer], k], 2), torch.cat([past.values[layer], v], 2)
            # Copies: a view would keep the keys of the whole prompt alive.
            keys.append(k[:, :, keep].clone())
            values.append(v[:, :, keep].clone())
            if mask is not None:
                attended = attend_grouped(q, k, v, mask if q.shape[2] == len(mask) else mask[answers])
            elif q.shape[2] == k.shape[2]:
                attended = attend_causal(q, k, v)[:, :, -len(positions_S) :]
            else:
                looks = torch.arange(k.shape[2], device=self.device) - (k.shape[2] - len(positions_S))
                attended = attend_grouped(q, k, v, looks <= answers[:, None])
            return attended.transpose(1, 2).flatten(2)

        hidden_BAD = self.forward(hidden_BSD, self.rotary(positions_S), attend, answers, beginning)
        return hidden_BAD, KeysValues(tuple(keys), tuple(values))

    def read_beginning(self, token_ids: torch.Tensor) -> Beginning:
        """What prompts begin with, read once for all of them."""
        positions = torch.arange(len(token_ids), device=self.device)
        _, read = self.prefill(
            self.embed(token_ids)[None], positions, answers=positions[-1:], keep=slice(0, len(token_ids))
        )
        no_queries = self.head_weight.new_zeros(1, len(token_ids), self.num_heads, self.head_size)
        return tuple(
            torch.cat([no_queries, keys.transpose(1, 2), values.transpose(1, 2)], dim=2)
            for keys, values in zip(read.keys, read.values)
        )

    def forward(
        self,
        hidden_BSD: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        attend: Attend,
        answers: torch.Tensor | None = None,
        beginning: Beginning | None = None,
    ) -> torch.Tensor:
        """Hidden states after the last norm; only those at the indices `answers`, if given. `rotary` is (S, E)."""
        operations, in_fp8 = self.operations, self.in_fp8
        delta_BSD = None
        for i, layer in enumerate(self.layers):
            is_last = i == self.num_layers - 1
            hidden_BSD, normed = operations.add_norm(hidden_BSD, delta_BSD, layer.attention_norm, in_fp8=in_fp8)
            # Of the last layer, nobody looks at the other tokens any more.
            q, k, v = self._heads(
                layer, normed, rotary, answers if is_last else None, beginning[i] if beginning else None
            )
            if answers is not None and is_last:
                hidden_BSD = hidden_BSD[:, answers]
            attended = attend(i, q, k, v)
            delta_BSD = layer.out(operations.in_fp8(attended) if in_fp8 else attended)
            hidden_BSD, normed = operations.add_norm(hidden_BSD, delta_BSD, layer.mlp_norm, in_fp8=in_fp8)
            delta_BSD = layer.down(operations.swiglu(layer.gate_up(normed), in_fp8=in_fp8))
        _, normed_BSD = operations.add_norm(hidden_BSD, delta_BSD, self.last_norm)
        assert isinstance(normed_BSD, torch.Tensor)
        return normed_BSD

    def _heads(
        self,
        layer: _Layer,
        normed: Input,
        rotary: tuple[torch.Tensor, torch.Tensor],
        answers: torch.Tensor | None,
        beginning: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values (B, P + S, heads, E) with their positions; queries of `answers` alone, if given.

        PyTorch's fastest attention wants as many queries as keys, so the beginning has some too.
        """
        num_queries, num_kv = self.num_heads, self.num_kv_heads
        if answers is None:
            heads = self._rotated(layer.qkv(normed), num_queries + num_kv, rotary, beginning)
            return heads[:, :, :num_queries], heads[:, :, num_queries:-num_kv], heads[:, :, -num_kv:]
        size = num_queries * self.head_size
        cos, sin = rotary
        q = self._rotated(layer.qkv.rows(slice(0, size))(normed[:, answers]), num_queries, (cos[answers], sin[answers]))
        before = None if beginning is None else beginning[:, :, num_queries:]
        kv = self._rotated(layer.qkv.rows(slice(size, None))(normed), num_kv, rotary, before)
        return q, kv[:, :, :num_kv], kv[:, :, num_kv:]

    def _rotated(
        self,
        projected: torch.Tensor,
        num_rotated: int,
        rotary: tuple[torch.Tensor, torch.Tensor],
        beginning: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Heads (B, P + S, H, E) of what is projected (B, S, HE), those of the beginning before them."""
        num_sequences, num_tokens, _ = projected.shape
        heads = projected.view(num_sequences, num_tokens, -1, self.head_size)
        if beginning is None:
            return self.operations.rotate(heads, num_rotated, *rotary)
        num_past = beginning.shape[1]
        whole = heads.new_empty(num_sequences, num_past + num_tokens, *heads.shape[2:])
        whole[:, :num_past] = beginning
        self.operations.rotate(heads, num_rotated, *rotary, into=whole[:, num_past:])
        return whole


def _forget_matrices(layer: nn.Module) -> None:
    """At once: the weights in 16 bits and in 8 need not be in memory together."""
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            module.weight.data = module.weight.data.new_empty(0)


def _filled_up(head: nn.Linear) -> torch.Tensor:
    """The output layer's weight with zeros up to a multiple of 8 rows; the module keeps its own, as a part of it.

    With the 151,674 tokens of InternVL3, cuBLAS uses a kernel of a third of the speed.
    """
    weight = head.weight.data
    if len(weight) % 8 == 0:
        return weight
    filled = weight.new_zeros(-(-len(weight) // 8) * 8, weight.shape[1])
    filled[: len(weight)] = weight
    head.weight.data = filled[: len(weight)]
    return filled
