"""What a device can do at most, measured on the spot: a large matrix product, and a copy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

NUM_TIMINGS = 7
# Large enough to reach the full rate, small enough to be done in a second or two.
MATRIX_SIZE = {"cuda": 8192, "cpu": 2048}
COPY_BYTES = {"cuda": 2**30, "cpu": 2**28}
# On a GPU a single call is too short for a clock that stands outside.
CALLS_PER_TIMING = {"cuda": 20, "cpu": 1}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Medians of several timings."""

    matmul_flop_per_s: float
    """The rate of a product of square matrices in the network's dtype."""
    memory_bytes_per_s: float
    """Read and written by a copy within the device's memory."""


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """Takes a second or two."""
    size = MATRIX_SIZE[device.type]
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    product = torch.empty_like(left)
    matmul_s = _seconds(lambda: torch.mm(left, right, out=product), device)
    source = torch.ones(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = _seconds(lambda: target.copy_(source), device)
    return Ceilings(2 * size**3 / matmul_s, 2 * len(source) / copy_s)


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was given; without it a clock would measure Python only."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Median seconds of one call."""
    calls = CALLS_PER_TIMING[device.type]
    call()  # workspaces are allocated, and kernels chosen, on first use
    timings = []
    for _ in range(NUM_TIMINGS):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize(device)
        timings.append((time.perf_counter() - start) / calls)
    return statistics.median(timings)
