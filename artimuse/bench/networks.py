"""Networks of real geometry with random weights, made on the device: what to measure without a download."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Tokenizer

from artimuse.bench.tokenizer import SPECIAL_TOKENS, ChecksumTokenizer
from artimuse.errors import BadCheckpoint
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.model.build import empty_model, fill
from artimuse.model.find import Checkpoint
from artimuse.model.load import Network
from artimuse.model.template import IMAGE_TOKEN, ChatTemplate

RANDOM = "random:"
"""What the name of such a network starts with."""
VOCAB_SIZE = 151_674
_SEED = 2025


def _config(
    *, vision_layers: int = 24, hidden: int, layers: int, heads: int, kv_heads: int = 2, intermediate: int
) -> InternVLConfig:
    """InternViT-300M-448px-V2.5 with a Qwen2.5: what differs between the sizes of InternVL3 up to 14B."""
    text = {
        "model_type": "qwen2",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0},
        "tie_word_embeddings": False,
    }
    vision = {
        "model_type": "internvl_vision",
        "hidden_size": 1024,
        "num_hidden_layers": vision_layers,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "image_size": IMAGE_SIZE_PX,
        "patch_size": 14,
        "attention_bias": True,
        "use_mean_pooling": True,
    }
    return InternVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=SPECIAL_TOKENS[IMAGE_TOKEN],
        image_seq_length=256,
        tie_word_embeddings=False,
    )


PRESETS = {
    "internvl3-8b": _config(hidden=3584, layers=28, heads=28, kv_heads=4, intermediate=18944),
    "internvl3-1b": _config(hidden=896, layers=24, heads=14, intermediate=4864),
    # Half the layers of a Qwen2.5-1.5B: small enough for a CPU, with matrices large enough to be like the real ones.
    "internvl3-cpu": _config(vision_layers=3, hidden=1536, layers=14, heads=12, intermediate=8960),
}


def random_network(model: str, *, dtype: torch.dtype, device: torch.device) -> Network:
    """The network called `random:NAME`; the same weights each time on the same kind of device.

    Raises BadCheckpoint, listing the names, for an unknown one.
    """
    config = PRESETS.get(model.removeprefix(RANDOM))
    if config is None:
        known = ", ".join(RANDOM + name for name in PRESETS)
        raise BadCheckpoint(f"model {model!r}: random networks are {known}")
    network = empty_model(config)
    fill(network, random_weights(network, dtype, device), device)
    return Network(
        network,
        # The engines use no more of a tokenizer than this one has.
        cast(Qwen2Tokenizer, ChecksumTokenizer()),
        ChatTemplate.of({"system_message": None}, config),
        Checkpoint(Path(model), model),
    )


def random_weights(
    model: InternVLForConditionalGeneration, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, torch.Tensor]]:
    """Native names and weights for a network of these shapes."""
    generator = torch.Generator(device).manual_seed(_SEED)
    for name, empty in model.state_dict().items():
        weight: Any = torch.empty(empty.shape, dtype=dtype, device=device)
        if name.endswith("bias"):
            yield name, weight.zero_()
        elif "norm" in name:
            yield name, weight.fill_(1)
        elif "lambda" in name:
            yield name, weight.fill_(0.1)
        else:
            # Inputs of variance 1 give outputs of variance 1.
            yield name, weight.normal_(std=empty[0].numel() ** -0.5, generator=generator)
