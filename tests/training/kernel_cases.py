"""Triton's kernels beside torch's way, and a network on a GPU beside itself on the CPU.

Without pytest: `python -m tests.training.kernel_cases cuda` compares both on a GPU, `... cpu` with TRITON_INTERPRET=1
the kernels in Triton's interpreter.
"""

import sys

import torch

from artimuse.configs.presets import paper_score_finetune
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.training import kernels, triton_kernels
from artimuse.training.data.collate import Batch
from artimuse.training.data.packing import pack, stack
from artimuse.training.network import TrainedNetwork


def compare_kernels(device: str) -> None:
    """Raises AssertionError where they differ."""
    kernels.triton_kernels = None
    try:
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
            torch.manual_seed(0)
            _compare_swiglu(device, dtype, tolerance)
            _compare_rotate(device, dtype, tolerance)
            _check_dropout(device, dtype, tolerance)
    finally:
        kernels.triton_kernels = triton_kernels


def _compare_swiglu(device: str, dtype: torch.dtype, tolerance: float) -> None:
    grad, gate, up = (torch.randn(37, 300, dtype=dtype, device=device) for _ in range(3))
    found, expected = triton_kernels.swiglu(gate, up), kernels.swiglu(gate, up)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    grads, expected_grads = triton_kernels.swiglu_backward(grad, gate, up), kernels.swiglu_backward(grad, gate, up)
    torch.testing.assert_close(grads, expected_grads, rtol=tolerance, atol=tolerance)


def _compare_rotate(device: str, dtype: torch.dtype, tolerance: float) -> None:
    for num_heads, head_size in ((28, 128), (3, 24)):
        heads = torch.randn(13, num_heads, head_size, dtype=dtype, device=device)
        angles = (torch.rand(13, head_size // 2, device=device) * 6).repeat(1, 2)
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        found, expected = triton_kernels.rotate(heads, cos, sin), kernels.Rotate.apply(heads, cos, sin)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def _check_dropout(device: str, dtype: torch.dtype, tolerance: float) -> None:
    ones = torch.ones(100, 333, dtype=dtype, device=device)
    dropped = triton_kernels.drop(ones, 0.05, 1234567)
    assert torch.equal(dropped, triton_kernels.drop(ones, 0.05, 1234567))
    assert not torch.equal(dropped, triton_kernels.drop(ones, 0.05, 32))
    assert 0.04 < float((dropped == 0).float().mean()) < 0.06
    total = torch.full_like(ones, 2.0)
    triton_kernels.add_dropped_(total, ones * 3, 0.5, 0.05, 1234567)
    torch.testing.assert_close(total, 2 + 1.5 * dropped, rtol=tolerance, atol=tolerance)


def compare_networks() -> None:
    """Loss and gradients of nano on a GPU and on the CPU, in float32. Raises AssertionError where they differ."""
    spec = read_spec(find_checkpoint("nano"))
    config = paper_score_finetune("", "", lora_rank=4, lora_dropout=0.0)
    prompts = [spec.template.token_ids(spec.tokenizer, question) for question in ("Which?", "Whose is it?")]
    for packed in (stack([pack(prompts, [[5, 9], [7, 8, 9]])]), stack([pack([p], [[5, 9]]) for p in prompts])):
        num_images = len(packed.token_ids_RS)
        pixels = torch.randint(0, 256, (num_images, 448, 448, 3), dtype=torch.uint8)
        batch = Batch(packed, pixels, torch.arange(num_images), (), ())
        found = []
        for device in ("cpu", "cuda"):
            network = TrainedNetwork(spec, config, dtype=torch.float32, device=torch.device(device))
            for name, weight in network.trained():
                if "lora_B" in name:
                    weight.data.fill_(0.01)
            loss, _ = network(batch.to(torch.device(device)))
            loss.backward()
            found.append([loss.detach().cpu(), *(weight.grad.cpu() for _, weight in network.trained())])
        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    compare_kernels(sys.argv[1])
    if sys.argv[1] == "cuda":
        compare_networks()
    print("the same")  # noqa: T201 - a command
