"""What a measurement was made on: versions and hardware, without names of hosts or people."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import artimuse

PACKAGES = ("ray", "pyarrow", "pillow", "numpy")


def describe() -> dict[str, object]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "artimuse": artimuse.__version__,
        **{name: version(name) for name in PACKAGES},
    }
