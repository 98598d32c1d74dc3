"""Triton's kernels give what torch gives."""

import os
import subprocess
import sys

import pytest
import torch


def test_the_kernels_are_right_in_tritons_interpreter():
    """In a process of its own: Triton reads the variable when it is imported."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "tests.training.kernel_cases", "cpu"]
    ran = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_and_networks_are_right_on_a_gpu():
    from tests.training.kernel_cases import compare_kernels, compare_networks

    compare_kernels("cuda")
    compare_networks()
