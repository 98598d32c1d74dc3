"""Linear layers with adapters: peft's modules and names, added to the layer's output as part of a matrix product.

peft's own forward pass writes every output five times and every input twice, which took a third of a training step
(stage 2 on an H100, 2026). Adapters whose layers read the same input share the choice of the inputs that dropout leaves
out; peft draws one for each.
"""

# T tokens, N channels in, M channels out, R ranks of all adapters together
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from artimuse.training.kernels import add_dropped_, drop

_ADAPTER = "default"
PER_LAYER = 4
"""Tensors of a layer in a flat list of weights: weight, bias (or None), and the adapter's A and B."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Which inputs of adapters are left out."""

    share: float
    seed: int

    @staticmethod
    def drawn(share: float) -> "Dropout":
        """Without dropout nothing is drawn. The seed comes from torch's generator on the CPU, so nothing waits."""
        return Dropout(share, int(torch.randint(2**31 - 1, ())) if share else 0)


def weights_of(*layers: Any) -> list[torch.Tensor | None]:
    """The flat list of weights of peft's layers that read the same input."""
    found: list[torch.Tensor | None] = []
    for layer in layers:
        base = layer.base_layer
        found += [base.weight, base.bias, layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight]
    return found


def scale_of(layer: Any) -> float:
    """What the adapter's output is multiplied with."""
    scale: float = layer.scaling[_ADAPTER]
    return scale


def project(inputs_TN: torch.Tensor, weights: Sequence[Any], scale: float, dropout: Dropout) -> list[torch.Tensor]:
    """The outputs (T, M) of layers that read the same input."""
    low_TR, scale = _low(_dropped(inputs_TN, dropout), weights), scale / (1 - dropout.share)
    outputs = []
    for (weight, bias, _, b), low in zip(_layers(weights), _parts(low_TR, weights)):
        outputs.append(functional.linear(inputs_TN, weight, bias).addmm_(low, b.t(), alpha=scale))
    return outputs


def project_backward(
    grads: Sequence[torch.Tensor], inputs_TN: torch.Tensor, weights: Sequence[Any], scale: float, dropout: Dropout
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """The gradients of the inputs, and of the weights in the order of the list: None but for the adapters."""
    scale = scale / (1 - dropout.share)
    dropped_TN = _dropped(inputs_TN, dropout)
    low_TR = _low(dropped_TN, weights)
    grad_low_TR = torch.empty_like(low_TR)
    grad_inputs_TN: torch.Tensor | None = None
    grads_b = []
    for grad_TM, (weight, _, _, b), low, grad_low in zip(
        grads, _layers(weights), _parts(low_TR, weights), _parts(grad_low_TR, weights)
    ):
        grads_b.append((grad_TM.t() @ low).mul_(scale))
        torch.mm(grad_TM, b, out=grad_low)
        if grad_inputs_TN is None:
            grad_inputs_TN = grad_TM @ weight
        else:
            grad_inputs_TN.addmm_(grad_TM, weight)
    assert grad_inputs_TN is not None
    grad_a_RN = (grad_low_TR.t() @ dropped_TN).mul_(scale)
    del dropped_TN
    a_RN = _stacked_a(weights)
    if dropout.share:
        add_dropped_(grad_inputs_TN, grad_low_TR @ a_RN, scale, dropout.share, dropout.seed)
    else:
        grad_inputs_TN.addmm_(grad_low_TR, a_RN, alpha=scale)
    grads_a = torch.split(grad_a_RN, _ranks(weights))
    return grad_inputs_TN, [grad for a, b in zip(grads_a, grads_b) for grad in (None, None, a, b)]


class Project(torch.autograd.Function):
    """`project` with gradients; keeps its input and nothing else."""

    @staticmethod
    def forward(
        ctx: Any, inputs_TN: torch.Tensor, scale: float, dropout: Dropout, *weights: Any
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(inputs_TN, *weights)
        ctx.scale, ctx.dropout = scale, dropout
        return tuple(project(inputs_TN, weights, scale, dropout))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        inputs_TN, *weights = ctx.saved_tensors
        grad_inputs_TN, grads_of_weights = project_backward(grads, inputs_TN, weights, ctx.scale, ctx.dropout)
        return grad_inputs_TN, None, None, *grads_of_weights


def _layers(weights: Sequence[Any]) -> list[Sequence[Any]]:
    return [weights[i : i + PER_LAYER] for i in range(0, len(weights), PER_LAYER)]


def _stacked_a(weights: Sequence[Any]) -> torch.Tensor:
    matrices = [a for _, _, a, _ in _layers(weights)]
    return matrices[0] if len(matrices) == 1 else torch.cat(matrices)


def _dropped(inputs_TN: torch.Tensor, dropout: Dropout) -> torch.Tensor:
    return drop(inputs_TN, dropout.share, dropout.seed) if dropout.share else inputs_TN


def _low(dropped_TN: torch.Tensor, weights: Sequence[Any]) -> torch.Tensor:
    return functional.linear(dropped_TN, _stacked_a(weights))


def _parts(low_TR: torch.Tensor, weights: Sequence[Any]) -> Sequence[torch.Tensor]:
    return torch.split(low_TR, _ranks(weights), dim=1)


def _ranks(weights: Sequence[Any]) -> list[int]:
    return [len(a) for _, _, a, _ in _layers(weights)]
