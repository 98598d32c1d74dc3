"""What the tests of scoring runs share."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def copy_of_nano(tmp_path) -> Callable[..., Path]:
    """Copies of the built-in checkpoint, optionally without a tensor or with slightly other weights."""
    import torch
    from safetensors.torch import load_file, save_file

    from artimuse.model.find import find_checkpoint

    def copy(*, without: str | None = None, noise: float = 0.0) -> Path:
        folder = tmp_path / f"model-{without}-{noise}"
        shutil.copytree(find_checkpoint("nano").directory, folder)
        weights = load_file(folder / "model.safetensors")
        weights = {
            name: weight + noise * torch.ones_like(weight) for name, weight in weights.items() if name != without
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copy
