import pytest
import torch

from artimuse.bench import ceilings
from artimuse.bench.ceilings import measure_ceilings


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_limits_are_measured(dtype, monkeypatch):
    monkeypatch.setitem(ceilings.MATRIX_SIZE, "cpu", 64)
    monkeypatch.setitem(ceilings.COPY_BYTES, "cpu", 2**16)
    measured = measure_ceilings(torch.device("cpu"), dtype)
    assert measured.matmul_flop_per_s > 0
    assert measured.memory_bytes_per_s > 0
