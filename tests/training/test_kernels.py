"""Triton's kernels give what torch gives. Without a GPU, Triton's interpreter runs them."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton, which the kernels are written in, is for Linux")


def test_the_kernels_are_right():
    from tests.training.kernel_cases import compare_kernels

    compare_kernels("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_is_right_on_a_gpu():
    from tests.training.kernel_cases import compare_networks

    compare_networks()
