import numpy as np
import torch

from artimuse.bench.peak import peak_bytes

CPU = torch.device("cpu")


def test_memory_that_is_given_back_counts_and_is_forgotten_the_next_time():
    before = peak_bytes(lambda: None, CPU)
    assert peak_bytes(lambda: np.ones(200 * 2**20, np.uint8).sum(), CPU) >= before + 190 * 2**20
    assert peak_bytes(lambda: None, CPU) < before + 100 * 2**20
