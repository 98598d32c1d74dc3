"""Kernels that take a row of numbers (a token) at a time, read it once and write it once."""

import triton
import triton.language as tl

_LARGEST_FP8 = tl.constexpr(448.0)
_SMALLEST_SCALE = tl.constexpr(1e-12)


@triton.jit
def add_norm(
    hidden,
    delta,
    gain,
    total,
    weight,
    bias,
    normed,
    scales,
    size,
    epsilon,
    HAS_DELTA: tl.constexpr,
    HAS_GAIN: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IN_FP8: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The norm of hidden + delta * gain, which is stored, and normalised as it is stored."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    places = row * size + columns
    x = tl.load(hidden + places, inside, other=0.0)
    if HAS_DELTA:
        change = tl.load(delta + places, inside, other=0.0).to(tl.float32)
        if HAS_GAIN:
            change *= tl.load(gain + columns, inside, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) + change).to(x.dtype)
        tl.store(total + places, x, inside)
    x = x.to(tl.float32)
    if HAS_BIAS:
        x = tl.where(inside, x - tl.sum(x, 0) / size, 0.0)
    x *= tl.rsqrt(tl.sum(x * x, 0) / size + epsilon) * tl.load(weight + columns, inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        x += tl.load(bias + columns, inside, other=0.0).to(tl.float32)
    if IN_FP8:
        x = _scaled(x, scales + row)
    tl.store(normed + places, x.to(normed.dtype.element_ty), inside)


@triton.jit
def swiglu(gate_up, product, scales, size, IN_FP8: tl.constexpr, BLOCK: tl.constexpr):
    """silu(gate) * up; a block has the whole row if it is scaled."""
    row = tl.program_id(0).to(tl.int64)
    gates = gate_up + row * 2 * size
    for start in range(0, size, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < size
        gate = tl.load(gates + columns, inside, other=0.0).to(tl.float32)
        x = gate * tl.sigmoid(gate) * tl.load(gates + size + columns, inside, other=0.0).to(tl.float32)
        if IN_FP8:
            x = _scaled(x, scales + row)
        tl.store(product + row * size + columns, x.to(product.dtype.element_ty), inside)


@triton.jit
def _scaled(x, scale_place):
    """The row in the range of 8 bits; stores what it has to be multiplied by."""
    scale = tl.maximum(tl.max(tl.abs(x), 0) / _LARGEST_FP8, _SMALLEST_SCALE)
    tl.store(scale_place, scale)
    return x / scale


@triton.jit
def scale_rows(numbers, values, scales, size, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    x = tl.load(numbers + row * size + columns, inside, other=0.0).to(tl.float32)
    tl.store(values + row * size + columns, _scaled(x, scales + row).to(values.dtype.element_ty), inside)


@triton.jit
def rotate(
    heads,
    result,
    cos,
    sin,
    sequence_stride,
    token_stride,
    result_sequence_stride,
    result_token_stride,
    num_rotated,
    num_written,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    """Rotary positions; the heads after the rotated ones are copied. Both halves of cosines and sines are equal."""
    token, sequence = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    places = tl.arange(0, HALF)
    rows = tl.arange(0, HEADS)[:, None]
    inside = rows < num_written
    is_rotated = rows < num_rotated
    c = tl.where(is_rotated, tl.load(cos + token * 2 * HALF + places).to(tl.float32)[None], 1.0)
    s = tl.where(is_rotated, tl.load(sin + token * 2 * HALF + places).to(tl.float32)[None], 0.0)
    inner = rows * 2 * HALF + places[None]
    source = heads + sequence * sequence_stride + token * token_stride + inner
    x, y = tl.load(source, inside, other=0.0), tl.load(source + HALF, inside, other=0.0)
    x_f, y_f = x.to(tl.float32), y.to(tl.float32)
    target = result + sequence * result_sequence_stride + token * result_token_stride + inner
    tl.store(target, (x_f * c - y_f * s).to(x.dtype), inside)
    tl.store(target + HALF, (y_f * c + x_f * s).to(x.dtype), inside)
