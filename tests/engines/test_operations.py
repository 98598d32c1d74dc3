"""The kernels for GPUs compute what the operations for CPUs do. Without a GPU, Triton's interpreter runs them."""

# R rows, I places of images, Q questions, J key-value heads, G query heads for each, E head size, P tokens of the
# prefix, W width of the memory
import random
from subprocess import CalledProcessError

import pytest
import torch
from torch.nn import functional

from artimuse.engines import operations
from artimuse.engines.linear import RowScaled
from artimuse.engines.operations import LayerMemory, Norm, Operations, Rows, operations_on
from artimuse.errors import EngineFailed

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytest.importorskip("triton", reason="Triton, which the kernels are written in, is for Linux")

from artimuse.engines.operations import on_gpu  # noqa: E402 - not without Triton

CPU = operations_on(torch.device("cpu"))
GPU: Operations = on_gpu
# (R, J, G, E, I, Q, P, W): heads and questions that fill no tile, and more questions than a program takes together
SHAPES = [(11, 2, 3, 16, 5, 3, 70, 150), (24, 2, 7, 32, 4, 8, 100, 40), (9, 1, 8, 16, 3, 10, 33, 20)]


def random_numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE)


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-5)


def assert_nearly_equal(found: RowScaled, expected: RowScaled) -> None:
    """Up to a step of 8 bits. Triton's interpreter (3.9) loses the carry where rounding goes to the next exponent."""
    assert_equal(found.scales, expected.scales)
    assert found.values.dtype == expected.values.dtype == torch.float8_e4m3fn
    is_near = torch.isclose(found.values.cpu().float(), expected.values.float(), rtol=2**-3, atol=2**-8)
    assert is_near.float().mean() >= (1.0 if DEVICE.type == "cuda" else 0.95)


@pytest.mark.parametrize("has_delta", [False, True])
def test_hidden_states_are_added_and_have_rms_norm(has_delta: bool):
    hidden, norm = random_numbers(5, 3, 96), Norm(random_numbers(96).abs(), None, 1e-6)
    delta = random_numbers(5, 3, 97)[..., 1:] if has_delta else None
    found = GPU.add_norm(hidden, delta, norm)
    expected = CPU.add_norm(hidden.cpu(), None if delta is None else delta.cpu(), on_cpu(norm))
    for one, other in zip(found, expected):
        assert_equal(one, other)


def test_what_a_layer_adds_may_have_a_gain_and_the_norm_a_bias():
    norm, gain = Norm(random_numbers(96), random_numbers(96) * 2, 1e-6), random_numbers(96) + 1
    hidden, delta = random_numbers(50, 96), random_numbers(2, 25, 96).flatten(0, 1) * 3
    found = GPU.add_norm(hidden, delta, norm, gain=gain)
    expected = CPU.add_norm(hidden.cpu(), delta.cpu(), on_cpu(norm), gain=gain.cpu())
    for one, other in zip(found, expected):
        assert_equal(one, other)
    assert_equal(found[0], hidden.cpu() + delta.cpu() * gain.cpu())


def test_a_gate_opens_and_closes_what_goes_up():
    gate_up = random_numbers(7, 2 * 3000)
    found = GPU.swiglu(gate_up, in_fp8=False)
    assert_equal(found, CPU.swiglu(gate_up.cpu(), in_fp8=False))
    assert_equal(found, functional.silu(gate_up[:, :3000]).cpu() * gate_up[:, 3000:].cpu())


def test_rows_are_scaled_to_eight_bits():
    hidden, delta, gate_up = random_numbers(5, 96), random_numbers(2, 5, 96)[1], random_numbers(7, 600) * 10
    norm = Norm(random_numbers(96).abs(), None, 1e-6)
    hidden[2] = delta[2] = 0
    assert_nearly_equal(GPU.in_fp8(hidden), CPU.in_fp8(hidden.cpu()))
    assert_nearly_equal(GPU.swiglu(gate_up, in_fp8=True), CPU.swiglu(gate_up.cpu(), in_fp8=True))
    assert_nearly_equal(
        GPU.add_norm(hidden, delta, norm, in_fp8=True)[1],
        CPU.add_norm(hidden.cpu(), delta.cpu(), on_cpu(norm), in_fp8=True)[1],
    )


def test_scaled_rows_are_the_numbers_within_the_precision_of_eight_bits():
    numbers = random_numbers(6, 200).cpu() * torch.logspace(-6, 6, 6)[:, None]
    scaled = RowScaled.of(numbers)
    restored = scaled.values.float() * scaled.scales
    torch.testing.assert_close(restored, numbers, rtol=2**-4, atol=float("inf"))
    assert ((restored - numbers).abs().amax(1) <= numbers.abs().amax(1) * 2**-4).all()
    assert (scaled.values.float().abs().amax(1) == 448).all()


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_heads_are_rotated_and_others_are_left(is_elsewhere: bool):
    num_tokens, num_heads, num_rotated, size = 6, 7, 5, 16
    cos, sin = (random_numbers(num_tokens, size // 2 + i)[:, i:].repeat(1, 2) for i in range(2))
    projected = random_numbers(2, num_tokens, num_heads * size).view(2, num_tokens, num_heads, size)
    room = torch.zeros(2, num_tokens + 3, num_heads, size)
    into = [room.clone().to(DEVICE), room.clone()] if is_elsewhere else [None, None]
    views = [None if each is None else each[:, 3:] for each in into]
    found = GPU.rotate(projected.clone(), num_rotated, cos, sin, views[0])
    expected = CPU.rotate(projected.clone().cpu(), num_rotated, cos.cpu(), sin.cpu(), views[1])
    assert_equal(found, expected)
    assert_equal(found[:, :, num_rotated:], projected[:, :, num_rotated:].cpu())
    if is_elsewhere:
        assert_equal(into[0], into[1])
        assert not into[0][:, :3].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_attend_to_their_image_and_to_what_they_have_themselves(shape: tuple[int, ...]):
    num_rows, num_kv_heads, num_groups, size, num_places, num_questions, num_shared, width = shape
    num_heads = num_kv_heads * num_groups
    heads = random_numbers(num_rows, num_heads + 2 * num_kv_heads, size)
    q, k, v = heads[:, :num_heads], heads[:, num_heads:-num_kv_heads], heads[:, -num_kv_heads:]
    prefix = [random_numbers(num_places, num_kv_heads, num_shared + i, size)[:, :, i:].contiguous() for i in range(2)]
    own = [random_numbers(num_rows + 2 + i, num_kv_heads, width, size)[i:].contiguous() for i in range(2)]
    lengths = torch.randint(0, width - 1, (num_rows,), generator=torch.Generator().manual_seed(1))
    lengths[0] = 0
    seats = [(place, question) for place in range(num_places) for question in range(num_questions) if place != 1]
    random.Random(0).shuffle(seats)
    of_image = torch.full((num_places, num_questions), -1, dtype=torch.int32)
    images = []
    for row, (place, question) in enumerate(seats[:num_rows]):
        of_image[place, question] = row
        images.append(place)
    assert len(images) == num_rows

    expected = torch.stack(
        [
            attended_alone(*row)
            for row in zip(
                *(t.cpu() for t in (q, k, v)), lengths, images, *(each.cpu() for each in own), [prefix] * num_rows
            )
        ]
    )
    for computed_by, device in ((CPU, torch.device("cpu")), (GPU, DEVICE)):
        memory = LayerMemory(*(each.clone().to(device) for each in (*prefix, *own)))
        found = computed_by.attend_rows(
            q.to(device), k.to(device), v.to(device), memory, Rows(lengths.to(device), of_image.to(device))
        )
        assert_equal(found, expected)
        rows = torch.arange(num_rows)
        assert_equal(memory.keys[rows, :, lengths], k.cpu())
        assert_equal(memory.values[rows, :, lengths], v.cpu())


def attended_alone(q, k, v, length, image, own_keys, own_values, prefix) -> torch.Tensor:
    """One row by PyTorch's own attention over all that it may see."""
    keys = torch.cat([prefix[0][image].cpu(), own_keys[:, :length], k[:, None]], dim=1)
    values = torch.cat([prefix[1][image].cpu(), own_values[:, :length], v[:, None]], dim=1)
    return functional.scaled_dot_product_attention(
        q[None, :, None], keys[None], values[None], enable_gqa=True
    ).flatten()


def on_cpu(norm: Norm) -> Norm:
    return Norm(norm.weight.cpu(), None if norm.bias is None else norm.bias.cpu(), norm.epsilon)


@pytest.mark.parametrize(
    ("problem", "raised", "complaint"),
    [
        (ImportError("No module named 'triton'"), EngineFailed, "need Triton .*pip install triton"),
        (RuntimeError("Failed to find C compiler."), EngineFailed, r"cannot be built \(Failed to find C compiler.*gcc"),
        (CalledProcessError(1, ["gcc"]), EngineFailed, "cannot be built .*gcc.*python3-dev"),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "CUDA out of memory"),
    ],
)
def test_kernels_that_cannot_be_had_say_what_they_need(monkeypatch, problem, raised, complaint):
    """What Triton raises where it has no compiler, which cannot be taken away from a test."""

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(operations, "import_module", fail)
    with pytest.raises(raised, match=complaint):
        operations_on(torch.device("cuda"))
