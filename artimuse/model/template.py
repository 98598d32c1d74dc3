"""How a question about one image becomes the text and the tokens that the model was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import InternVLConfig

from artimuse.errors import BadCheckpoint
from artimuse.interfaces import Tokenizer

IMAGE_TOKEN = "<IMG_CONTEXT>"
"""Stands for one image embedding in the prompt."""
END_OF_IMAGE = "</img>"
"""What follows is the question: up to here all prompts are the same."""
SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<img>", END_OF_IMAGE, IMAGE_TOKEN)

# Source: the InternVL2.5 conversation that the official code falls back to.
DEFAULT_SYSTEM_MESSAGE = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
)


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The InternVL2.5 chat with one image and one question, up to where the answer starts."""

    system_message: str
    num_image_tokens: int

    @classmethod
    def of(cls, stored: Mapping[str, Any], network: InternVLConfig) -> "ChatTemplate":
        """The template of a checkpoint: from its config.json as stored, and from the network's configuration."""
        vision: Any = network.vision_config  # typed there as if it could still be a dictionary
        height, width = (size // patch for size, patch in zip(vision.image_size, vision.patch_size))
        return cls(_system_message(stored), int(height * width * network.downsample_ratio**2))

    def prompt(self, question: str) -> str:
        return (
            f"<|im_start|>system\n{self.system_message}<|im_end|>\n"
            f"<|im_start|>user\n<img>{IMAGE_TOKEN * self.num_image_tokens}{END_OF_IMAGE}\n{question}<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def token_ids(self, tokenizer: Tokenizer, question: str) -> list[int]:
        return tokenizer.encode(self.prompt(question), add_special_tokens=False)


def check_tokenizer(tokenizer: Tokenizer, origin: object) -> None:
    """Raises BadCheckpoint, naming the origin, unless the vocabulary has each special token of the template."""
    for token in SPECIAL_TOKENS:
        token_ids = tokenizer.encode(token, add_special_tokens=False)
        if len(token_ids) != 1:
            raise BadCheckpoint(
                f"{origin}: {token} is not a single token of the tokenizer but {len(token_ids)};"
                " was the checkpoint saved without its added tokens?"
            )


def _system_message(stored: Mapping[str, Any]) -> str:
    """Three cases, up to 17 points apart: absent is the Chinese default, null the text `None`, a string itself."""
    return str(stored["system_message"]) if "system_message" in stored else DEFAULT_SYSTEM_MESSAGE
