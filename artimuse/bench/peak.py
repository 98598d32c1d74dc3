"""The most memory that something takes while it runs."""

from collections.abc import Callable
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The peak of memory, with what was there before: PyTorch's tensors on a GPU, the process on a CPU (Linux)."""
    if device.type == "cuda":
        # What PyTorch keeps for later would look taken to an engine that asks how much is free.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    # 5 sets the peak of the resident memory back to what is resident now: `man 5 proc_pid_clear_refs`.
    (PROCESS / "clear_refs").write_text("5")
    run()
    status = (PROCESS / "status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
