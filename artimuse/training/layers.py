"""The layers of the language model as they are trained with adapters: transformers' modules, our own forward pass.

Ours, because the pass decides what is kept until the backward pass and what is computed again: a layer keeps what goes
into its two halves, so that nothing is computed again that only leads to their outputs, and layers that memory is left
for keep what is in between (`activations.py`). Parameters are read from the modules that own them, all within the
layer's own forward and backward pass: ZeRO-3 has to gather a layer as a whole (`sharding.py`).
"""

# B sequences, S tokens, T = BS tokens, D hidden size, M channels of the MLP, E head size, A answer tokens
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from artimuse.errors import BadCheckpoint
from artimuse.training.adapted import Dropout, Project, project, project_backward, scale_of, weights_of
from artimuse.training.kernels import Rotate, swiglu, swiglu_backward


@dataclass(slots=True)
class Kept:
    """How many of the last layers keep what is within them."""

    num_layers: int = 0


def adapt_layers(model: Any, kept: Kept) -> list[Any]:
    """Gives the layers of a network with adapters this forward pass, and returns them."""
    text = model.model.language_model
    if text.config.hidden_act != "silu" or any(kind != "full_attention" for kind in text.config.layer_types):
        raise BadCheckpoint(
            "the base's language model is not a Qwen2 with SwiGLU and attention without windows, which training with"
            " adapters runs; --language-model full trains it as it is"
        )
    for i, layer in enumerate(text.layers):
        layer.keeps = _keeps(kept, len(text.layers) - i)
        layer.forward = types.MethodType(_forward, layer)
    return list(text.layers)


def _keeps(kept: Kept, number_from_last: int) -> Any:
    return lambda: number_from_last <= kept.num_layers


def _forward(
    layer: Any,
    hidden_BSD: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_embeddings: Any = None,
    answers_BS: torch.Tensor | None = None,
    **_: Any,
) -> torch.Tensor:
    """With `answers_BS` the hidden states (A, D) of these tokens, for which others have to be read no further."""
    keeps = layer.keeps()
    share = _dropout_share(layer)
    dropouts = [Dropout.drawn(share) for _ in range(4)]
    inputs = (layer, hidden_BSD, attention_mask, position_embeddings, dropouts[0], dropouts[1])
    if keeps or not torch.is_grad_enabled():
        hidden_BSD = _attend(*inputs)
    else:
        # Dropout has seeds of its own.
        hidden_BSD = checkpoint(_attend, *inputs, use_reentrant=False, preserve_rng_state=False)
    hidden = hidden_BSD.flatten(0, 1) if answers_BS is None else hidden_BSD[answers_BS]
    norm, mlp = layer.post_attention_layernorm, layer.mlp
    settings = MlpSettings(norm.variance_epsilon, scale_of(mlp.down_proj), dropouts[2], dropouts[3], keeps)
    weights = weights_of(mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    output: torch.Tensor = Mlp.apply(hidden, norm.weight, settings, *weights)  # type: ignore[no-untyped-call]
    return output.view(hidden_BSD.shape) if answers_BS is None else output


def _dropout_share(layer: Any) -> float:
    dropout = layer.mlp.down_proj.lora_dropout["default"]
    return float(dropout.p) if layer.training and isinstance(dropout, torch.nn.Dropout) else 0.0


def _attend(
    layer: Any,
    hidden_BSD: torch.Tensor,
    mask: torch.Tensor | None,
    rotary: tuple[torch.Tensor, torch.Tensor],
    dropout_in: Dropout,
    dropout_out: Dropout,
) -> torch.Tensor:
    """The first half of a layer."""
    attention, norm = layer.self_attn, layer.input_layernorm
    shape = (*hidden_BSD.shape[:2], -1, attention.head_dim)
    normed_TD = _norm(hidden_BSD, norm.weight, norm.variance_epsilon).flatten(0, 1)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    scale = scale_of(attention.o_proj)
    q, k, v = Project.apply(normed_TD, scale, dropout_in, *weights_of(*projections))  # type: ignore[no-untyped-call]
    cos_TE, sin_TE = (angles.expand(len(hidden_BSD), -1, -1).flatten(0, 1) for angles in rotary)
    q, k = (
        Rotate.apply(heads.view(len(heads), -1, attention.head_dim), cos_TE, sin_TE)  # type: ignore[no-untyped-call]
        for heads in (q, k)
    )
    q, k, v = (heads.view(shape).transpose(1, 2) for heads in (q, k, v))
    attended_TD = _attention(q, k, v, mask).transpose(1, 2).flatten(0, 1).flatten(1)
    (output_TD,) = Project.apply(attended_TD, scale, dropout_out, *weights_of(attention.o_proj))  # type: ignore[no-untyped-call]
    summed_BSD: torch.Tensor = hidden_BSD + output_TD.view(hidden_BSD.shape)
    return summed_BSD


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    # With a mask the fused kernels know no heads that share keys (torch 2.13).
    num_sharing = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(num_sharing, 1), v.repeat_interleave(num_sharing, 1)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _norm(hidden: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return functional.rms_norm(hidden, list(weight.shape), weight, epsilon)


@dataclass(frozen=True, slots=True)
class MlpSettings:
    epsilon: float
    scale: float
    dropout_in: Dropout
    dropout_out: Dropout
    keeps: bool


class Mlp(torch.autograd.Function):
    """The second half of a layer: norm, gated MLP and the sum with what it began with.

    Keeps its input, and gate and up if it is told to. What it gives is never computed again.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: torch.Tensor, norm: torch.Tensor, settings: MlpSettings, *weights: Any
    ) -> torch.Tensor:
        gate_TM, up_TM = _gate_and_up(_norm(hidden_TD, norm, settings.epsilon), settings, weights)
        activated_TM = swiglu(gate_TM, up_TM)
        (output_TD,) = project(activated_TM, weights[_DOWN:], settings.scale, settings.dropout_out)
        ctx.settings = settings
        ctx.save_for_backward(hidden_TD, norm, *((gate_TM, up_TM) if settings.keeps else (None, None)), *weights)
        return output_TD.add_(hidden_TD)

    @staticmethod
    def backward(ctx: Any, grad_TD: torch.Tensor) -> tuple[Any, ...]:
        hidden_TD, norm, gate_TM, up_TM, *weights = ctx.saved_tensors
        settings: MlpSettings = ctx.settings
        with torch.enable_grad():
            hidden_TD = hidden_TD.detach().requires_grad_()
            normed_TD = _norm(hidden_TD, norm, settings.epsilon)
        inputs_TD = normed_TD.detach()
        if gate_TM is None:
            gate_TM, up_TM = _gate_and_up(inputs_TD, settings, weights)
        grad_TD = grad_TD.contiguous()
        grad_activated_TM, grads_down = project_backward(
            [grad_TD], swiglu(gate_TM, up_TM), weights[_DOWN:], settings.scale, settings.dropout_out
        )
        grads_TM = swiglu_backward(grad_activated_TM, gate_TM, up_TM)
        del grad_activated_TM, gate_TM, up_TM
        grad_normed_TD, grads_in = project_backward(
            grads_TM, inputs_TD, weights[:_DOWN], settings.scale, settings.dropout_in
        )
        (grad_hidden_TD,) = torch.autograd.grad(normed_TD, hidden_TD, grad_normed_TD)
        return grad_hidden_TD.add_(grad_TD), None, None, *grads_in, *grads_down


_DOWN = 8
"""Where the weights of the last of the three layers begin in the list."""


def _gate_and_up(normed_TD: torch.Tensor, settings: MlpSettings, weights: Any) -> list[torch.Tensor]:
    return project(normed_TD, weights[:_DOWN], settings.scale, settings.dropout_in)
