"""The device of a run that works in its own process (`--workers 0`)."""

from artimuse.configs.engine import Device
from artimuse.errors import ClusterProblem


def own_device(asked: Device) -> Device:
    """cpu or cuda; auto is cuda where torch finds a GPU. Raises ClusterProblem for a GPU that is not there."""
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise ClusterProblem("--workers 0 works in this process, and torch finds no CUDA device here")
    return "cpu"
