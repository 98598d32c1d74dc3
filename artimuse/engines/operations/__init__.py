"""What the language model computes between its matrix products, and the attention of texts in flight.

`on_cpu.py` says in PyTorch what is computed; `on_gpu.py` computes the same in kernels that read and write each value
once. To add a device: one file, and a case in `operations_on`.
"""

# B sequences, S tokens, D hidden size, F size of the MLP, R rows (texts in flight), I places of images, Q questions,
# J key-value heads, G query heads for each, E head size, P tokens of the prefix, W width of the memory
from dataclasses import dataclass
from importlib import import_module
from subprocess import CalledProcessError
from typing import Any, Protocol, cast

import torch
from torch import nn

from artimuse.engines.linear import Input
from artimuse.errors import EngineFailed

SMALLEST_ROW = 16


@dataclass(frozen=True, slots=True)
class Norm:
    """RMS norm, or layer norm if there is a bias."""

    weight: torch.Tensor
    """(D,)"""
    bias: torch.Tensor | None
    epsilon: float

    @classmethod
    def of(cls, module: Any) -> "Norm":
        """The norm of a module of transformers or PyTorch."""
        epsilon = module.eps if isinstance(module, nn.LayerNorm) else module.variance_epsilon
        return cls(module.weight.data, module.bias.data if isinstance(module, nn.LayerNorm) else None, epsilon)


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """Keys and values of one layer that texts in flight look at."""

    prefix_keys: torch.Tensor
    """(I, J, P, E): of the prompt up to the image, once for all texts about it."""
    prefix_values: torch.Tensor
    keys: torch.Tensor
    """(R, J, W, E): of what each text has for itself, its question and its answer."""
    values: torch.Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """Which texts are in flight, and how far they are."""

    lengths: torch.Tensor
    """(R,): tokens in a row's own memory; the next one goes there."""
    of_image: torch.Tensor
    """(I, Q), int32: the rows about the image in each place, -1 where there is none."""


class Operations(Protocol):
    """The kernels compute in float32 and round once. With `in_fp8`, results are scaled row by row."""

    def add_norm(
        self,
        hidden: torch.Tensor,
        delta: torch.Tensor | None,
        norm: Norm,
        *,
        gain: torch.Tensor | None = None,
        in_fp8: bool = False,
    ) -> tuple[torch.Tensor, Input]:
        """The sum (..., D) of hidden states and what a layer adds to them, times a gain (D,), and the sum's norm."""
        ...

    def swiglu(self, gate_up: torch.Tensor, *, in_fp8: bool) -> Input:
        """silu(gate) * up, for both in one tensor (..., 2F)."""
        ...

    def in_fp8(self, hidden: torch.Tensor) -> Input:
        """Scales each row (..., D)."""
        ...

    def rotate(
        self,
        heads: torch.Tensor,
        num_rotated: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
        into: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Rotary positions for the first of some heads (B, S, H, E) by cosines and sines (S, E).

        Returns all heads: in the memory that is given, or in their own.
        """
        ...

    def attend_rows(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, memory: LayerMemory, rows: Rows
    ) -> torch.Tensor:
        """Attention (R, JG * E) of one new token per row over its image's prefix, its own memory and itself.

        q is (R, JG, E), k and v are (R, J, E); they are stored in the memory.
        """
        ...


def operations_on(device: torch.device) -> Operations:
    """Raises EngineFailed where the kernels for GPUs cannot be built."""
    if device.type != "cuda":
        return cast(Operations, import_module(f"{__name__}.on_cpu"))
    try:
        found = cast(Operations, import_module(f"{__name__}.on_gpu"))
        found.in_fp8(torch.zeros(1, SMALLEST_ROW, device=device))
    except ImportError as error:
        raise EngineFailed(f"the kernels for GPUs need Triton ({error}): pip install triton") from error
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError, CalledProcessError) as error:  # no compiler, or one that does not find the headers
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise EngineFailed(
            f"the kernels for GPUs cannot be built ({first_line}): Triton needs a C compiler (gcc) and Python's headers"
            " (python3-dev)"
        ) from error
    return found
