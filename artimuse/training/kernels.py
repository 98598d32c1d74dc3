"""Elementwise steps of a layer that would otherwise go through memory several times: torch's way, and one kernel each.

The ways of torch are the reference. The kernels run where there is a GPU and Triton, which torch brings along for it.
"""

# T tokens, M channels of the MLP, H heads, E head size
import logging
from functools import cache
from typing import Any

import torch
from torch.nn import functional

try:
    from artimuse.training import triton_kernels
except ImportError:
    # No Triton here: torch for CPUs does not need it. mypy knows the name as a module only.
    triton_kernels = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


def swiglu(gate_TM: torch.Tensor, up_TM: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up."""
    if has_kernels(gate_TM):
        return triton_kernels.swiglu(gate_TM, up_TM)
    return functional.silu(gate_TM) * up_TM


def swiglu_backward(
    grad_TM: torch.Tensor, gate_TM: torch.Tensor, up_TM: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of gate and up."""
    if has_kernels(gate_TM):
        return triton_kernels.swiglu_backward(grad_TM, gate_TM, up_TM)
    sigmoid_TM = torch.sigmoid(gate_TM)
    slope_TM = sigmoid_TM * (1 + gate_TM * (1 - sigmoid_TM))
    return grad_TM * up_TM * slope_TM, grad_TM * gate_TM * sigmoid_TM


def drop(values: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """The values with a share of them 0, the same ones for the same seed; the others are not scaled up."""
    if has_kernels(values):
        return triton_kernels.drop(values, share, seed)
    return values * _kept(values, share, seed)


def add_dropped_(total: torch.Tensor, values: torch.Tensor, scale: float, share: float, seed: int) -> None:
    """total += scale * drop(values)."""
    if has_kernels(values):
        triton_kernels.add_dropped_(total, values, scale, share, seed)
    else:
        total.add_(values * _kept(values, share, seed), alpha=scale)


class Rotate(torch.autograd.Function):
    """Rotary positions: pairs of channels turned by angles whose cosines and sines are given."""

    @staticmethod
    def forward(ctx: Any, heads_THE: torch.Tensor, cos_TE: torch.Tensor, sin_TE: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos_TE, sin_TE)
        return _rotate(heads_THE, cos_TE, sin_TE)

    @staticmethod
    def backward(ctx: Any, grad_THE: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cos_TE, sin_TE = ctx.saved_tensors
        return _rotate(grad_THE, cos_TE, -sin_TE), None, None


def _rotate(heads_THE: torch.Tensor, cos_TE: torch.Tensor, sin_TE: torch.Tensor) -> torch.Tensor:
    if has_kernels(heads_THE):
        return triton_kernels.rotate(heads_THE, cos_TE, sin_TE)
    first, second = heads_THE.chunk(2, dim=-1)
    return heads_THE * cos_TE[:, None] + torch.cat((-second, first), dim=-1) * sin_TE[:, None]


def has_kernels(values: torch.Tensor) -> bool:
    """Whether Triton's kernels are used for these."""
    return triton_kernels is not None and values.is_cuda and values.numel() > 0 and _can_build(values.device)


@cache
def _can_build(device: torch.device) -> bool:
    """Triton needs a C compiler and Python's headers at run time, which torch does without."""
    try:
        one = torch.ones(1, device=device)
        triton_kernels.swiglu(one, one)
    except Exception as error:  # noqa: BLE001 - whatever compilers and drivers raise: torch computes the same
        logger.warning("training without Triton's kernels, which is slower error=%s", error)
        return False
    return True


def _kept(values: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    generator = torch.Generator(values.device).manual_seed(seed)
    return torch.empty(values.shape, dtype=torch.bool, device=values.device).bernoulli_(1 - share, generator=generator)
