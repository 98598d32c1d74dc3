"""The device of a run that works in its own process (`--workers 0`), and its memory."""

import gc
import sys

from artimuse.configs.engine import Device
from artimuse.errors import ClusterProblem


def own_device(asked: Device, *, option: str = "--device cuda") -> Device:
    """cpu or cuda; auto is cuda where torch finds a GPU. Raises ClusterProblem for a GPU that is not there."""
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise ClusterProblem(
            f"{option}: --workers 0 works in this process, and torch finds no CUDA device here; use --device cpu"
        )
    return "cpu"


def free_device_memory() -> None:
    """Frees what networks have left behind: they refer to themselves, and torch keeps memory for its next use."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
