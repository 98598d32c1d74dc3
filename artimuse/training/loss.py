"""Cross entropy over a large vocabulary, without a copy of all logits in float32."""

# L answer tokens, V vocabulary
from typing import Any

import torch
from torch.nn import functional

_CHUNK = 512
"""Answer tokens at a time: 310 MB in float32 for InternVL3's vocabulary."""


class SummedCrossEntropy(torch.autograd.Function):
    """The sum over all answer tokens, in float32 whatever the logits are in."""

    @staticmethod
    def forward(ctx: Any, logits_LV: torch.Tensor, labels_L: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits_LV, labels_L)
        total = torch.zeros((), device=logits_LV.device)
        for logits, labels in zip(_chunks(logits_LV), _chunks(labels_L)):
            total += functional.cross_entropy(logits.float(), labels, reduction="sum")
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits_LV, labels_L = ctx.saved_tensors
        grad_LV = torch.empty_like(logits_LV)
        for logits, labels, target in zip(_chunks(logits_LV), _chunks(labels_L), _chunks(grad_LV)):
            slopes = torch.softmax(logits.float(), dim=-1)
            slopes[torch.arange(len(labels), device=labels.device), labels] -= 1
            target.copy_(slopes.mul_(grad))
        return grad_LV, None


def _chunks(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(rows, _CHUNK)
