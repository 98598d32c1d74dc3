"""The steps of `kernels.py` as kernels of Triton, each of which reads its input once and writes its output once.

All compute in float32, whatever they read and write.
"""

# T tokens, M channels of the MLP, H heads, E head size
import torch
import triton
import triton.language as tl

_BLOCK = 1024
_ROUNDS = tl.constexpr(7)  # of Philox: torch uses 10; 7 are known to pass every test of randomness


def swiglu(gate_TM: torch.Tensor, up_TM: torch.Tensor) -> torch.Tensor:
    gate_TM, up_TM = gate_TM.contiguous(), up_TM.contiguous()
    activated_TM = torch.empty_like(gate_TM)
    _swiglu[_grid(gate_TM)](gate_TM, up_TM, activated_TM, gate_TM.numel(), BLOCK=_BLOCK)
    return activated_TM


def swiglu_backward(
    grad_TM: torch.Tensor, gate_TM: torch.Tensor, up_TM: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    grad_TM, gate_TM, up_TM = grad_TM.contiguous(), gate_TM.contiguous(), up_TM.contiguous()
    grad_gate_TM, grad_up_TM = torch.empty_like(gate_TM), torch.empty_like(up_TM)
    _swiglu_backward[_grid(gate_TM)](grad_TM, gate_TM, up_TM, grad_gate_TM, grad_up_TM, gate_TM.numel(), BLOCK=_BLOCK)
    return grad_gate_TM, grad_up_TM


def drop(values: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    values = values.contiguous()
    dropped = torch.empty_like(values)
    _drop[_grid(values, 4)](values, dropped, values.numel(), share, 1.0, seed, ADD=False, BLOCK=_BLOCK)
    return dropped


def add_dropped_(total: torch.Tensor, values: torch.Tensor, scale: float, share: float, seed: int) -> None:
    assert total.is_contiguous()
    values = values.contiguous()
    _drop[_grid(values, 4)](values, total, values.numel(), share, scale, seed, ADD=True, BLOCK=_BLOCK)


def rotate(heads_THE: torch.Tensor, cos_TE: torch.Tensor, sin_TE: torch.Tensor) -> torch.Tensor:
    heads_THE, cos_TE, sin_TE = heads_THE.contiguous(), cos_TE.contiguous(), sin_TE.contiguous()
    num_tokens, num_heads, head_size = heads_THE.shape
    turned_THE = torch.empty_like(heads_THE)
    half = triton.next_power_of_2(head_size // 2)
    _rotate[(num_tokens,)](
        heads_THE,
        cos_TE,
        sin_TE,
        turned_THE,
        num_heads,
        HEAD_SIZE=head_size,
        HEADS=triton.next_power_of_2(num_heads),
        HALF=half,
    )
    return turned_THE


def _grid(values: torch.Tensor, per_thread: int = 1) -> tuple[int]:
    return (triton.cdiv(values.numel(), per_thread * _BLOCK),)


@triton.jit
def _swiglu(gate, up, activated, size, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_inside = at < size
    g = tl.load(gate + at, mask=is_inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=is_inside, other=0.0).to(tl.float32)
    tl.store(activated + at, g * tl.sigmoid(g) * u, mask=is_inside)


@triton.jit
def _swiglu_backward(grad, gate, up, grad_gate, grad_up, size, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_inside = at < size
    d = tl.load(grad + at, mask=is_inside, other=0.0).to(tl.float32)
    g = tl.load(gate + at, mask=is_inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=is_inside, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(g)
    tl.store(grad_gate + at, d * u * sigmoid * (1 + g * (1 - sigmoid)), mask=is_inside)
    tl.store(grad_up + at, d * g * sigmoid, mask=is_inside)


# A seed is another one each time: no kernel of its own for those that are multiples of 16.
@triton.jit(do_not_specialize=["seed"])
def _drop(values, target, size, share, scale, seed, ADD: tl.constexpr, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    program = tl.program_id(0)
    # A call of the generator gives four numbers.
    r0, r1, r2, r3 = tl.rand4x(seed, program * BLOCK + lane, n_rounds=_ROUNDS)
    start = program.to(tl.int64) * (4 * BLOCK) + lane
    _drop_block(values, target, start, size, r0 >= share, scale, ADD)
    _drop_block(values, target, start + BLOCK, size, r1 >= share, scale, ADD)
    _drop_block(values, target, start + 2 * BLOCK, size, r2 >= share, scale, ADD)
    _drop_block(values, target, start + 3 * BLOCK, size, r3 >= share, scale, ADD)


@triton.jit
def _drop_block(values, target, at, size, is_kept, scale, ADD: tl.constexpr):
    is_inside = at < size
    value = tl.load(values + at, mask=is_inside, other=0.0).to(tl.float32)
    value = tl.where(is_kept, value * scale, 0.0)
    if ADD:
        value += tl.load(target + at, mask=is_inside, other=0.0).to(tl.float32)
    tl.store(target + at, value, mask=is_inside)


@triton.jit
def _rotate(heads, cos, sin, turned, num_heads, HEAD_SIZE: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEADS)[:, None]
    channel = tl.arange(0, HALF)[None, :]
    is_channel = channel < HEAD_SIZE // 2
    is_inside = (head < num_heads) & is_channel
    # Both halves of the channels have the same angles.
    c = tl.load(cos + token * HEAD_SIZE + channel, mask=is_channel, other=0.0).to(tl.float32)
    s = tl.load(sin + token * HEAD_SIZE + channel, mask=is_channel, other=0.0).to(tl.float32)
    at = token * num_heads * HEAD_SIZE + head * HEAD_SIZE + channel
    first = tl.load(heads + at, mask=is_inside, other=0.0).to(tl.float32)
    second = tl.load(heads + at + HEAD_SIZE // 2, mask=is_inside, other=0.0).to(tl.float32)
    tl.store(turned + at, first * c - second * s, mask=is_inside)
    tl.store(turned + at + HEAD_SIZE // 2, second * c + first * s, mask=is_inside)
