"""Makes the built-in demonstration model, artimuse/model/nano: `python scripts/make_nano.py`.

Random weights in the native layout, with a tokenizer of its own. Same bytes on every run and machine.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import InternVLForConditionalGeneration, Qwen2Tokenizer

from artimuse.attributes import ATTRIBUTES
from artimuse.images import IMAGE_SIZE_PX
from artimuse.model.config_file import ConfigFile
from artimuse.model.native import NATIVE
from artimuse.prompts import SCORE_QUESTION, attribute_question
from artimuse.scoring import STRATEGIES

NANO_DIRECTORY = Path(__file__).parents[1] / "artimuse" / "model" / "nano"
SEED = 2025
NUM_TEXT_TOKENS = 1200
HIDDEN_SIZE = 64

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
ADDED_TOKENS = (*_QWEN_CHAT, *_QWEN_TOOLS, *_INTERNVL)

SENTENCES = """\
The light falls softly from the left and leaves the background in shadow.
A strong diagonal leads the eye from the lower corner to the face of the subject.
The colors are muted, but the contrast between warm and cool tones holds the picture together.
The horizon is tilted and the main subject is cut off at the edge of the frame.
Focus lies on the eyes, while the background dissolves into a pleasant blur.
The exposure is too bright in the sky, so that the clouds lose their texture.
An unusual point of view turns an ordinary street into an abstract pattern.
The photograph tells a quiet story about waiting, distance and hope.
Repeated shapes create rhythm; the single red element breaks it with intent.
The brushstrokes are confident, the layers of paint give the surface depth.
Noise in the dark areas and a slight motion blur weaken the technical quality.
The composition is balanced, although the foreground could be simpler.
It evokes calm and curiosity, and the viewer wants to look again.
The image is clear and sharp, yet it remains a common view of a common place.
"""

MODEL_CARD = """# nano

A demonstration model for `artimuse`: the architecture of ArtiMuse (InternVL with a Qwen2 language model) at a
fraction of its size (half a million weights), with **random weights**. It has never seen an image or a text.

Its scores differ from picture to picture and mean nothing. It is here so that every step of the code, from a folder
of images to a table of scores, can be run and tested without downloading anything and without a GPU.

Made by `scripts/make_nano.py`, byte for byte the same on every run. The tokenizer was made by the same script from
the project's own prompts and sentences; nothing of it comes from a published model. License: Apache-2.0.
"""


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory)
    vocab_size = len(Qwen2Tokenizer.from_pretrained(directory))
    write_json(directory / "config.json", config(vocab_size))
    weights_path = directory / "model.safetensors"
    save_file(random_weights(ConfigFile.read(directory)), weights_path, metadata={"format": "pt"})
    weights_path.chmod(0o644)  # safetensors makes files that only their owner can read
    (directory / "README.md").write_text(MODEL_CARD, encoding="utf-8")


def config(vocab_size: int) -> dict[str, Any]:
    return {
        "architectures": ["InternVLForConditionalGeneration"],
        "artimuse_trained": False,
        "downsample_ratio": 0.5,
        "dtype": "bfloat16",
        "image_seq_length": (IMAGE_SIZE_PX // 32 // 2) ** 2,
        "image_token_id": vocab_size - len(ADDED_TOKENS) + ADDED_TOKENS.index("<IMG_CONTEXT>"),
        "model_type": "internvl",
        "system_message": None,
        "text_config": {
            "hidden_act": "silu",
            "hidden_size": HIDDEN_SIZE,
            "intermediate_size": 2 * HIDDEN_SIZE,
            "max_position_embeddings": 32768,
            "model_type": "qwen2",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
            "rope_parameters": {"factor": 2.0, "rope_theta": 1000000.0, "rope_type": "dynamic"},
            "tie_word_embeddings": False,
            "vocab_size": vocab_size,
        },
        "tie_word_embeddings": False,
        "vision_config": {
            "attention_bias": True,
            "hidden_act": "gelu",
            "hidden_size": HIDDEN_SIZE,
            "image_size": [IMAGE_SIZE_PX, IMAGE_SIZE_PX],
            "intermediate_size": 2 * HIDDEN_SIZE,
            "layer_norm_eps": 1e-06,
            "model_type": "internvl_vision",
            "norm_type": "layer_norm",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "patch_size": [32, 32],
            "use_mean_pooling": True,
            "use_qk_norm": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }


def random_weights(config_file: ConfigFile) -> dict[str, torch.Tensor]:
    """Weights by name, large enough that different pictures get visibly different scores."""
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(NATIVE.network_config(config_file))
    # RandomState's stream is frozen, and uniform numbers need no libm: torch's normal ones may change.
    random = np.random.RandomState(SEED)
    return {
        name: _random_weight(random, name, tuple(weight.shape)) for name, weight in sorted(model.state_dict().items())
    }


def _random_weight(random: np.random.RandomState, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    noise = 3**0.5 * random.uniform(-1, 1, size=shape)  # variance 1
    if name.endswith("bias"):
        values = 0.1 * noise
    elif "norm" in name or "lambda" in name:
        values = 1 + 0.1 * noise
    elif "embed" in name or "cls_token" in name:
        values = noise
    else:
        values = _gain(name) * noise / np.prod(shape[1:]) ** 0.5
    return torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16)


def _gain(name: str) -> float:
    """Standard deviation of a layer's output for inputs of variance 1.

    Chosen by trial: with 1 everywhere, the scores of different pictures lie within a point of each other.
    """
    if name == "lm_head.weight":
        return 3.0
    return 2.0 if "self_attn" in name or "multi_modal_projector" in name else 1.0


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
    for strategy in STRATEGIES.values():
        for candidate in strategy.candidates:
            if len(candidate) > 1:
                yield from [candidate.replace("Ġ", " ")] * 2000
    yield "system\nNone"
    yield "user\nassistant\n"
    yield from (SCORE_QUESTION, *(strategy.question for strategy in STRATEGIES.values()))
    for attribute in ATTRIBUTES:
        yield from (attribute_question(attribute), attribute.name, attribute.description)
    yield from SENTENCES.splitlines()


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NANO_DIRECTORY)
