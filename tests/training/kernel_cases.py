"""Triton's kernels beside torch's way, on a device; on the CPU with TRITON_INTERPRET=1."""

import sys

import pytest
import torch

from artimuse.training import kernels, triton_kernels


def compare(device: str) -> None:
    """Raises AssertionError where they differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "triton_kernels", None)
        _compare(device)


def _compare(device: str) -> None:
    torch.manual_seed(0)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        close = {"rtol": tolerance, "atol": tolerance}
        grad, gate, up = (torch.randn(37, 300, dtype=dtype, device=device) for _ in range(3))
        torch.testing.assert_close(triton_kernels.swiglu(gate, up), kernels.swiglu(gate, up), **close)
        torch.testing.assert_close(
            triton_kernels.swiglu_backward(grad, gate, up), kernels.swiglu_backward(grad, gate, up), **close
        )
        for num_heads, head_size in ((28, 128), (3, 24)):
            heads = torch.randn(13, num_heads, head_size, dtype=dtype, device=device)
            angles = (torch.rand(13, head_size // 2, device=device) * 6).repeat(1, 2)
            cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
            found = triton_kernels.rotate(heads, cos, sin)
            torch.testing.assert_close(found, kernels.Rotate.apply(heads, cos, sin), **close)
        ones = torch.ones(100, 333, dtype=dtype, device=device)
        dropped = triton_kernels.drop(ones, 0.05, 1234567)
        assert torch.equal(dropped, triton_kernels.drop(ones, 0.05, 1234567))
        assert not torch.equal(dropped, triton_kernels.drop(ones, 0.05, 32))
        assert 0.04 < float((dropped == 0).float().mean()) < 0.06
        total = torch.full_like(ones, 2.0)
        triton_kernels.add_dropped_(total, ones * 3, 0.5, 0.05, 1234567)
        torch.testing.assert_close(total, 2 + 1.5 * dropped, **close)


if __name__ == "__main__":
    compare(sys.argv[1])
