"""What was trained as a directory of peft's: unmerged adapters, and beside them the parts that were trained in full."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file

from artimuse.configs.train import TrainConfig
from artimuse.errors import BadInput
from artimuse.model.find import Checkpoint
from artimuse.model.load import CheckpointSpec, Network, load_network
from artimuse.training.checkpoint import Tensors
from artimuse.training.network import LORA_B, PROJECTOR, VISION, lora_config
from artimuse.training.vocabulary import NEW_ROWS

_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
"""What peft puts before the names of the network that it wraps."""


def write_adapters(directory: Path, config: TrainConfig, spec: CheckpointSpec, tensors: Tensors) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, float32, with the names that peft gives.

    Raises BadInput if peft has no way to say what was trained.
    """
    names = tensors.names()
    if not any(name.endswith(LORA_B) for name in names):
        raise BadInput("--adapters: the run has no adapters of the language model; leave it out for the whole model")
    if any(name.endswith(NEW_ROWS) for name in names):
        raise BadInput(
            f"--adapters: --strategy {config.strategy} adds tokens, for which peft's base has no rows;"
            " leave it out for the whole model"
        )
    adapters = lora_config(config)
    # As peft calls parts that are trained themselves: it puts them in the place of the base's.
    adapters.modules_to_save = [_module(part) for part in (VISION, PROJECTOR) if _has(names, part)] or None
    adapters.base_model_name_or_path = _repository(spec.checkpoint)
    adapters.revision = spec.checkpoint.revision
    adapters.inference_mode = True
    directory.mkdir()
    adapters.save_pretrained(str(directory))
    weights = {_PREFIX + name.replace(".default.", "."): tensors.weight(name) for name in names}
    save_file(weights, directory / _WEIGHTS, metadata={"format": "pt"})
    (directory / _WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner can read


def load_adapted(directory: Path, spec: CheckpointSpec, *, dtype: torch.dtype, device: torch.device) -> Network:
    """The base with the adapters, as peft reads them, and the prompt that was trained."""
    base = load_network(spec.checkpoint, dtype=dtype, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what peft 0.21 uses of transformers 5.23 is deprecated
        adapted: Any = PeftModel.from_pretrained(base.model, str(directory)).eval()
    return replace(base, model=adapted.get_base_model(), template=spec.template)


def _has(names: list[str], part: str) -> bool:
    return any(name.startswith(part) for name in names)


def _module(part: str) -> str:
    """`vision_tower` of `model.vision_tower.`."""
    return part.rstrip(".").rpartition(".")[2]


def _repository(checkpoint: Checkpoint) -> str:
    return checkpoint.name.removesuffix(f"@{checkpoint.revision}")
