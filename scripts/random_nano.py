"""The built-in model before it has learnt anything: random weights and a tokenizer of its own, in the native layout.

`train_nano.py` begins with it. But for the patch embedding it is the same on every machine, to the bit.
"""

# B pictures of H by W pixels in C = 3 channels, P patches, D values of a patch, K components
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.sparse.linalg import eigsh
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import InternVLForConditionalGeneration, Qwen2Tokenizer

from artimuse.attributes import ATTRIBUTES
from artimuse.engines.pixels import normalize
from artimuse.images.decode import IMAGE_SIZE_PX, resize
from artimuse.model.config_file import ConfigFile
from artimuse.model.native import NATIVE
from artimuse.prompts import CAPTION_QUESTION, LIST_QUESTION, SCORE_QUESTION, attribute_question
from artimuse.scenes.caption import write_caption
from artimuse.scenes.draw import draw_picture
from artimuse.scenes.sentences import write_sentences
from artimuse.scenes.table import choose_scenes
from artimuse.scoring import STRATEGIES

SEED = 2025
NUM_TEXT_TOKENS = 1200
PATCH_SIZE_PX = 32
VISION_SIZE, NUM_VISION_LAYERS, NUM_VISION_HEADS = 64, 3, 2
TEXT_SIZE, NUM_TEXT_LAYERS, NUM_TEXT_HEADS = 96, 3, 3
NUM_SCENES_READ = 300
"""The number of scenes whose captions and sentences the tokenizer is made from."""
NUM_SCENES_WHITENED = 100

# The added tokens in the order of Qwen2.5 (22) and InternVL (9).
_QWEN_CHAT = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_QWEN_TOOLS = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
_INTERNVL = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
PATCHES = "model.vision_tower.embeddings.patch_embeddings.projection.weight"
ADDED_TOKENS = (*_QWEN_CHAT, *_QWEN_TOOLS, *_INTERNVL)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory)
    vocab_size = len(Qwen2Tokenizer.from_pretrained(directory))
    write_json(directory / "config.json", config(vocab_size))
    weights_path = directory / "model.safetensors"
    save_file(random_weights(ConfigFile.read(directory)), weights_path, metadata={"format": "pt"})
    weights_path.chmod(0o644)  # safetensors makes files that only their owner can read


def config(vocab_size: int) -> dict[str, Any]:
    return {
        "architectures": ["InternVLForConditionalGeneration"],
        "downsample_ratio": 0.5,
        "dtype": "float32",
        "image_seq_length": (IMAGE_SIZE_PX // PATCH_SIZE_PX // 2) ** 2,
        "image_token_id": vocab_size - len(ADDED_TOKENS) + ADDED_TOKENS.index("<IMG_CONTEXT>"),
        "model_type": "internvl",
        "system_message": None,
        "text_config": {
            "hidden_act": "silu",
            "hidden_size": TEXT_SIZE,
            "intermediate_size": 2 * TEXT_SIZE,
            "max_position_embeddings": 32768,
            "model_type": "qwen2",
            "num_attention_heads": NUM_TEXT_HEADS,
            "num_hidden_layers": NUM_TEXT_LAYERS,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-06,
            "rope_parameters": {"factor": 2.0, "rope_theta": 1000000.0, "rope_type": "dynamic"},
            "tie_word_embeddings": False,
            "vocab_size": vocab_size,
        },
        "tie_word_embeddings": False,
        "vision_config": {
            "attention_bias": True,
            "hidden_act": "gelu",
            "hidden_size": VISION_SIZE,
            "image_size": [IMAGE_SIZE_PX, IMAGE_SIZE_PX],
            "intermediate_size": 2 * VISION_SIZE,
            "layer_norm_eps": 1e-06,
            "model_type": "internvl_vision",
            "norm_type": "layer_norm",
            "num_attention_heads": NUM_VISION_HEADS,
            "num_hidden_layers": NUM_VISION_LAYERS,
            "patch_size": [PATCH_SIZE_PX, PATCH_SIZE_PX],
            "use_mean_pooling": True,
            "use_qk_norm": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }


def random_weights(config_file: ConfigFile) -> dict[str, torch.Tensor]:
    """Weights by name, small enough that training begins with nearly even probabilities."""
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(NATIVE.network_config(config_file))
    # RandomState's stream is frozen, and uniform numbers need no libm: torch's normal ones may change.
    random = np.random.RandomState(SEED)
    weights = {
        name: _random_weight(random, name, tuple(weight.shape)) for name, weight in sorted(model.state_dict().items())
    }
    return weights | {PATCHES: whitening()}


def whitening() -> torch.Tensor:
    """The patch embedding: the principal components of patches of scenes, each scaled to variance 1.

    Random weights see little but a patch's mean colour, which varies a thousand times as much as its stripes and the
    sharpness of its edges. Source: Coates and Ng, "Learning feature representations with k-means", 2012, section 2.
    """
    pixels_BHWC = np.stack([resize(draw_picture(scene)) for scene in choose_scenes("train", NUM_SCENES_WHITENED)])
    pixels_BCHW = normalize(torch.from_numpy(pixels_BHWC), torch.float32)
    patches_PD = functional.unfold(pixels_BCHW, PATCH_SIZE_PX, stride=PATCH_SIZE_PX).transpose(1, 2).flatten(0, 1)
    patches_PD -= patches_PD.mean(dim=0)
    covariance_DD = (patches_PD.T @ patches_PD / len(patches_PD)).double().numpy()
    variances_K, components_DK = eigsh(covariance_DD, VISION_SIZE, v0=np.ones(len(covariance_DD)))
    # A component and its negative are one and the same to the decomposition.
    weights_DK = components_DK * np.sign(components_DK.sum(axis=0)) / np.sqrt(variances_K)
    return torch.from_numpy(np.ascontiguousarray(weights_DK.T, dtype=np.float32)).reshape(
        VISION_SIZE, 3, PATCH_SIZE_PX, PATCH_SIZE_PX
    )


def _random_weight(random: np.random.RandomState, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    noise = 3**0.5 * random.uniform(-1, 1, size=shape)  # variance 1
    if name.endswith("bias"):
        values = np.zeros(shape)
    elif "norm" in name or "lambda" in name:
        values = np.ones(shape)
    elif "position_embeddings" in name:
        # By trial: with small ones it takes many times as long to learn where things are.
        values = 0.3 * noise
    elif "embed_tokens" in name or "cls_token" in name:
        values = 0.1 * noise
    else:
        values = 0.5 * noise / np.prod(shape[1:]) ** 0.5
    return torch.from_numpy(values.astype(np.float32))


def write_tokenizer(directory: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    # Of Qwen2Tokenizer, so that the merges learnt here are those it will look for.
    tokenizer.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_TEXT_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.model.save(str(directory))
    first_id = tokenizer.get_vocab_size()
    write_json(
        directory / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(first_id + position): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": token not in _QWEN_TOOLS,
                }
                for position, token in enumerate(ADDED_TOKENS)
            },
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": 12288,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )


def corpus() -> Iterator[str]:
    """Answer tokens far more often than anything else, so that they are merged first and whole; then plain text."""
    strategies = [strategy for strategy in STRATEGIES.values() if not strategy.new_tokens]
    for strategy in strategies:
        for candidate in strategy.candidates:
            if len(candidate) > 1:
                yield from [candidate.replace("Ġ", " ")] * 2000
    yield "system\nNone"
    yield "user\nassistant\n"
    yield from (SCORE_QUESTION, *(strategy.question for strategy in strategies))
    for attribute in ATTRIBUTES:
        yield from (attribute_question(attribute), attribute.name, attribute.description)
    yield from (CAPTION_QUESTION, LIST_QUESTION)
    for scene in choose_scenes("train", NUM_SCENES_READ):
        yield write_caption(scene)
        yield from write_sentences(scene).values()


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
