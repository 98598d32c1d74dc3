"""The operations in kernels for GPUs. See `Operations`; `on_cpu.py` says in PyTorch what they compute."""

from dataclasses import dataclass

import torch
import triton

from artimuse.engines.linear import FP8, Input, RowScaled
from artimuse.engines.operations import LayerMemory, Norm, Rows, attention_kernels, row_kernels

# Query heads and rows are filled up to the smallest tile of a matrix unit.
_SMALLEST_TILE = 16
# Rows about one image that a program of the prefix takes together.
_ROWS_TOGETHER = 8


def _tile(like: torch.Tensor) -> dict[str, int]:
    """Keys that are read together, and steps of the loop in flight: float32 has room for few in a multiprocessor."""
    return {"KEYS": 64} if like.dtype.itemsize == 2 else {"KEYS": 32, "num_stages": 1}


def add_norm(
    hidden: torch.Tensor,
    delta: torch.Tensor | None,
    norm: Norm,
    *,
    gain: torch.Tensor | None = None,
    in_fp8: bool = False,
) -> tuple[torch.Tensor, Input]:
    size = hidden.shape[-1]
    hidden = hidden.contiguous()
    total = hidden if delta is None else torch.empty_like(hidden)
    normed, scales = _empty(hidden.shape, hidden, in_fp8)
    row_kernels.add_norm[(hidden.numel() // size,)](
        hidden,
        hidden if delta is None else delta.contiguous(),
        norm.weight if gain is None else gain,
        total,
        norm.weight,
        norm.weight if norm.bias is None else norm.bias,
        normed,
        scales,
        size,
        norm.epsilon,
        HAS_DELTA=delta is not None,
        HAS_GAIN=gain is not None,
        HAS_BIAS=norm.bias is not None,
        IN_FP8=in_fp8,
        BLOCK=triton.next_power_of_2(size),
    )
    return total, RowScaled(normed, scales) if in_fp8 else normed


def swiglu(gate_up: torch.Tensor, *, in_fp8: bool) -> Input:
    size = gate_up.shape[-1] // 2
    product, scales = _empty((*gate_up.shape[:-1], size), gate_up, in_fp8)
    whole = triton.next_power_of_2(size)
    row_kernels.swiglu[(product.numel() // size,)](
        gate_up.contiguous(),
        product,
        scales,
        size,
        IN_FP8=in_fp8,
        BLOCK=whole if in_fp8 else min(2048, whole),
        num_warps=16 if in_fp8 else 4,
    )
    return RowScaled(product, scales) if in_fp8 else product


def in_fp8(hidden: torch.Tensor) -> Input:
    size = hidden.shape[-1]
    values, scales = _empty(hidden.shape, hidden, in_fp8=True)
    row_kernels.scale_rows[(hidden.numel() // size,)](
        hidden.contiguous(), values, scales, size, BLOCK=triton.next_power_of_2(size)
    )
    return RowScaled(values, scales)


def rotate(
    heads: torch.Tensor,
    num_rotated: int,
    cos: torch.Tensor,
    sin: torch.Tensor,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    num_sequences, num_tokens, num_heads, head_size = heads.shape
    result = heads if into is None else into
    for each in (heads, result):
        assert each.stride()[2:] == (head_size, 1), "the heads of a token lie side by side"
    num_written = num_rotated if into is None else num_heads
    row_kernels.rotate[(num_tokens, num_sequences)](
        heads,
        result,
        cos,
        sin,
        heads.stride(0),
        heads.stride(1),
        result.stride(0),
        result.stride(1),
        num_rotated,
        num_written,
        HEADS=triton.next_power_of_2(num_written),
        HALF=head_size // 2,
    )
    return result


def attend_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, memory: LayerMemory, rows: Rows) -> torch.Tensor:
    num_rows, num_heads, head_size = q.shape
    num_kv_heads = k.shape[1]
    for heads in (q, k, v):
        assert heads.stride()[1:] == (head_size, 1), "the heads of a row lie side by side"
    attended = q.new_empty(num_rows, num_heads, head_size)
    seen = _Seen(
        sums_of_values=q.new_empty(num_rows, num_heads, head_size, dtype=torch.float32),
        peaks=q.new_empty(num_rows, num_heads, dtype=torch.float32),
        sums=q.new_empty(num_rows, num_heads, dtype=torch.float32),
    )
    _attend_prefix(q, memory, rows, seen)
    groups = num_heads // num_kv_heads
    attention_kernels.attend_own[(num_rows, num_kv_heads)](
        q,
        k,
        v,
        q.stride(0),
        k.stride(0),
        v.stride(0),
        memory.keys,
        memory.values,
        rows.lengths,
        seen.sums_of_values,
        seen.peaks,
        seen.sums,
        attended,
        memory.keys.shape[2],
        head_size**-0.5,
        HEADS=num_heads,
        GROUPS=groups,
        GROUP_TILE=max(triton.next_power_of_2(groups), _SMALLEST_TILE),
        SIZE=head_size,
        **_tile(q),
    )
    return attended.flatten(1)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What each row saw of its image's prefix, where the second kernel goes on."""

    sums_of_values: torch.Tensor
    """(R, JG, E), not divided by the sum of the weights yet."""
    peaks: torch.Tensor
    """(R, JG): the largest score."""
    sums: torch.Tensor
    """(R, JG): of the weights."""


def _attend_prefix(q: torch.Tensor, memory: LayerMemory, rows: Rows, seen: _Seen) -> None:
    num_heads, head_size = q.shape[1:]
    num_images, num_questions = rows.of_image.shape
    num_kv_heads, num_tokens = memory.prefix_keys.shape[1:3]
    groups = num_heads // num_kv_heads
    group_tile = triton.next_power_of_2(groups)
    rows_together = max(_ROWS_TOGETHER, _SMALLEST_TILE // group_tile)
    attention_kernels.attend_prefix[(num_images, num_kv_heads, triton.cdiv(num_questions, rows_together))](
        q,
        q.stride(0),
        memory.prefix_keys,
        memory.prefix_values,
        rows.of_image,
        seen.sums_of_values,
        seen.peaks,
        seen.sums,
        num_tokens,
        num_questions,
        head_size**-0.5,
        HEADS=num_heads,
        GROUPS=groups,
        GROUP_TILE=group_tile,
        ROWS=rows_together,
        SIZE=head_size,
        **_tile(q),
    )


def _empty(shape: torch.Size | tuple[int, ...], like: torch.Tensor, in_fp8: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The output of a kernel and its scales, which it does not touch unless it scales."""
    if not in_fp8:
        output = like.new_empty(shape)
        return output, output
    return like.new_empty(shape, dtype=FP8), like.new_empty((*shape[:-1], 1), dtype=torch.float32)
