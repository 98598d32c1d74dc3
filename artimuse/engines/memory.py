"""How many images fit on a device at a time, and what to do when they did not."""

from collections.abc import Callable

import torch

MOST_IMAGES = 128
"""More would not be faster: a GPU is busy with half of them."""
# The rest of the free memory is for the keys and values of texts in flight, and for what fragmentation takes.
SHARE_OF_FREE = 0.4
_PROBE_SIZES = (1, 4)


def probe_batch_size(run: Callable[[int], object], device: torch.device) -> int:
    """The number of images per forward pass on a CUDA device, from the memory that two small passes take.

    `run` is a pass over so many images.
    """
    run(1)  # libraries allocate their workspaces on first use
    torch.cuda.empty_cache()
    num_free, _ = torch.cuda.mem_get_info(device)
    return fitting_batch_size(lambda size: _peak_bytes(run, size, device), int(SHARE_OF_FREE * num_free))


def fitting_batch_size(peak_bytes: Callable[[int], int], num_bytes: int) -> int:
    """The largest batch whose peak, linear in its size, stays within `num_bytes`; from 1 to `MOST_IMAGES`."""
    low, high = _PROBE_SIZES
    peak_low, peak_high = peak_bytes(low), peak_bytes(high)
    per_image = max((peak_high - peak_low) / (high - low), 1)
    constant = peak_low - low * per_image
    return max(1, min(MOST_IMAGES, int((num_bytes - constant) / per_image)))


def is_out_of_memory(error: BaseException) -> bool:
    """True for torch's exceptions on GPUs, and for its bare RuntimeError on CPUs (torch 2.13)."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _peak_bytes(run: Callable[[int], object], size: int, device: torch.device) -> int:
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run(size)
    return torch.cuda.max_memory_allocated(device) - before
