"""What differs between checkpoint layouts: what config.json says, and which stored tensor is which weight.

`official.py` and `native.py` hold the two layouts; `load.py` and `save.py` run over either.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import InternVLConfig, Qwen2Tokenizer

from artimuse.errors import BadCheckpoint
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.model.config_file import ConfigFile

LayoutName = Literal["native", "official"]

Weights = Iterator[tuple[str, torch.Tensor]]
"""Names and tensors, one at a time."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of one native weight is stored."""

    key: str
    """The name of the stored tensor."""
    part: int | None = None
    """0, 1 or 2: the weight is this third of the stored tensor's first dimension. None: all of it."""
    lora: tuple[str, str] | None = None
    """Keys of A (rank, in) and B (out, rank), to be added to the whole stored tensor before it is split."""


Sources = dict[str, Source]
"""Native weight name -> where it is stored."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which the same network is stored."""

    architecture: str
    """The class as config.json names it."""
    network_config: Callable[[ConfigFile], InternVLConfig]
    """Raises BadCheckpoint, naming the key, if the checkpoint is of a kind this version cannot run."""
    sources: Callable[[Collection[str], Collection[str]], Sources]
    """Maps native weight names and stored keys to sources; a source may name a key that is not stored."""
    stored_config: Callable[[ConfigFile, Qwen2Tokenizer], dict[str, Any]]
    """The inverse of `network_config`, from the native config.json with `dtype` and `system_message`.

    Raises BadCheckpoint, naming the key, if the layout has no way to say what it says."""
    stored_weights: Callable[[Weights], Weights]
    """The inverse of `sources`: stored keys and tensors from native names and weights, in the same order."""


def build_config(config: ConfigFile, text: Mapping[str, object], vision: Mapping[str, object]) -> InternVLConfig:
    """The native configuration from the keyword arguments of its two parts.

    Raises BadCheckpoint if they do not fit, or are for another image size than `images.decode.IMAGE_SIZE_PX`.
    """
    try:
        network = InternVLConfig(
            text_config={**text, "model_type": "qwen2"},
            vision_config={**vision, "model_type": "internvl_vision"},
            downsample_ratio=config.get("downsample_ratio", 0.5),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            tie_word_embeddings=bool(text["tie_word_embeddings"]),
        )
    # A value of the wrong type: transformers raises exceptions of several libraries' own trees.
    except Exception as error:
        raise BadCheckpoint(f"{config.path}: {' '.join(str(error).split())}") from error
    built: Any = network.vision_config  # typed there as if it could still be a dictionary
    if tuple(built.image_size) != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
        raise BadCheckpoint(
            f"{config.path}: vision_config.image_size is {built.image_size}, supported: {IMAGE_SIZE_PX}"
        )
    return network
