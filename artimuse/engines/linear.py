"""A matrix of the network, in the network's precision or in 8 bits with a scale for every row."""

# N outputs, K inputs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import ScalingType

from artimuse.errors import EngineFailed

FP8 = torch.float8_e4m3fn
LARGEST_FP8 = 448.0
"""The largest number that has 8 bits in this format."""
# Below it a scale would make infinities of zeros.
SMALLEST_SCALE = 1e-12


_LEAST_CAPABILITY = (8, 9)


def refuse_without_fp8(device: torch.device) -> None:
    """Raises EngineFailed for a GPU that cannot multiply numbers of 8 bits; PyTorch does it on CPUs, slowly."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        name, needed = torch.cuda.get_device_name(device), ".".join(map(str, _LEAST_CAPABILITY))
        raise EngineFailed(
            f"--dtype fp8: {name} does not compute in 8 bits, which GPUs of capability {needed} do; use bfloat16"
        )


Index = slice | tuple[slice, torch.Tensor]
"""Of rows, the last dimension left whole."""


@dataclass(frozen=True, slots=True)
class RowScaled:
    """Numbers (..., K) in 8 bits, and the float32 factors (..., 1) that they are multiplied by."""

    values: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def of(cls, numbers: torch.Tensor) -> "RowScaled":
        largest = numbers.abs().amax(-1, keepdim=True).float()
        scales = (largest / LARGEST_FP8).clamp_(min=SMALLEST_SCALE)
        return cls((numbers.float() / scales).to(FP8), scales)

    def __getitem__(self, index: Index) -> "RowScaled":
        return RowScaled(self.values[index], self.scales[index])


Input = torch.Tensor | RowScaled
"""What goes into a matrix product."""


class Linear:
    """x @ weight.T + bias."""

    def __init__(self, weight: torch.Tensor | RowScaled, bias: torch.Tensor | None = None) -> None:
        """`weight` is (N, K). One with scales takes inputs with scales."""
        self.weight = weight
        self.bias = bias

    @classmethod
    def of(cls, parts: Sequence[Any], *, in_fp8: bool = False) -> "Linear":
        """Linear modules of the same input as one; in their own precision, their weights become parts of its weight.

        Raises TypeError for other modules, such as those with adapters, whose weight is not all that they do.
        """
        if others := [type(part).__name__ for part in parts if not isinstance(part, nn.Linear)]:
            raise TypeError(f"this engine runs plain linear layers, not {others[0]}: merge the adapters first")
        if not all(part.weight.numel() for part in parts):
            raise TypeError("an engine in fp8 has taken over this network, whose matrices are gone: load another one")
        bias = None if parts[0].bias is None else torch.cat([part.bias.data for part in parts])
        if in_fp8:
            scaled = [RowScaled.of(part.weight.data) for part in parts]
            values, scales = torch.cat([part.values for part in scaled]), torch.cat([part.scales for part in scaled])
            return cls(RowScaled(values, scales), bias)
        if len(parts) == 1:
            return cls(parts[0].weight.data, bias)
        weight = torch.cat([part.weight.data for part in parts])
        start = 0
        for part in parts:
            part.weight.data = weight[start : start + len(part.weight)]
            start += len(part.weight)
        return cls(weight, bias)

    def __call__(self, inputs: Input) -> torch.Tensor:
        """(..., K) -> (..., N); bfloat16 from 8 bits."""
        if isinstance(self.weight, torch.Tensor):
            assert isinstance(inputs, torch.Tensor)
            return functional.linear(inputs, self.weight, self.bias)
        assert isinstance(inputs, RowScaled)
        *shape, num_inputs = inputs.values.shape
        product = functional.scaled_mm(
            inputs.values.view(-1, num_inputs),
            self.weight.values.t(),
            inputs.scales.view(-1, 1),
            ScalingType.RowWise,
            self.weight.scales.view(1, -1),
            ScalingType.RowWise,
            bias=self.bias,
            output_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return product.view(*shape, -1)

    def rows(self, chosen: slice) -> "Linear":
        """Only these outputs."""
        return Linear(self.weight[chosen], None if self.bias is None else self.bias[chosen])
