"""Saving a checkpoint as the tests do, and looking at what it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from artimuse.configs.engine import EngineConfig
from artimuse.engines.transformers import TransformersEngine
from artimuse.model.load import CheckpointSpec, load_network, read_spec
from artimuse.model.save import save_checkpoint
from artimuse.scoring import STRATEGIES
from tests.model.checkpoints import checkpoint

LAYOUTS = ("native", "official")


def save(source: Path, directory: Path, layout: str = "native", **changes: Any) -> CheckpointSpec:
    """Saves the checkpoint in `source`, with other arguments if they are given; returns what was read of it."""
    spec = read_spec(checkpoint(source))
    dtype = changes.pop("dtype", torch.bfloat16)
    weights = changes.pop("weights", None) or spec.weights(dtype, "cpu")
    parts = {name: changes.pop(name) for name in ("config", "tokenizer", "template") if name in changes}
    save_checkpoint(directory, replace(spec, **parts), weights, layout=layout, dtype=dtype, **changes)
    return spec


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_network(checkpoint(directory), dtype=torch.float32, device="cpu").model.state_dict()


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def scores_of(directory: Path, pixels_BHWC: np.ndarray) -> np.ndarray:
    engine = TransformersEngine(EngineConfig(model=str(directory), device="cpu", dtype="float32"))
    with engine.open(pixels_BHWC) as images:
        return STRATEGIES["ordered_100"].ask(images).mean_B


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return {key: weight for path in directory.glob("*.safetensors") for key, weight in load_file(path).items()}
