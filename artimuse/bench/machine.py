"""What a measurement was made on: hardware and versions, without names of hosts or people."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from artimuse import __version__


def describe(device: torch.device) -> dict[str, str | int]:
    """Facts for a report, in the order to show them."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "artimuse": __version__,
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
