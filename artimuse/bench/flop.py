"""The arithmetic of one image, counted from the geometry of the network.

A product of (m, k) by (k, n) is 2mkn FLOP. Attention counts the pairs of tokens that may look at each other, at
4 FLOP per pair and channel: scores, and the weighted sum. Norms, activations, rotations and softmax are left out, as
is all that is computed in vain (masked pairs, padding).
"""

from dataclasses import dataclass
from typing import Any

from transformers import InternVLConfig


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the prompts, and of the answers."""

    prefix: int
    """What all prompts share: up to the end of the image."""
    beginning: int
    """What comes before the image: the same in all prompts about all images."""
    score: int
    """The whole score prompt."""
    texts: tuple[int, ...]
    """The whole prompt of each attribute."""
    answer: int
    """Generated for each attribute."""


class Arithmetic:
    """FLOP of one network's parts; of the language model for given numbers of tokens."""

    def __init__(self, config: InternVLConfig) -> None:
        text: Any = config.text_config
        head_size: int = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self.num_layers: int = text.num_hidden_layers
        self.channels: int = text.num_attention_heads * head_size
        """The size of the queries of one token."""
        self.key_weights: int = 2 * text.hidden_size * text.num_key_value_heads * head_size
        """The number of weights of a layer's keys and values."""
        self.other_weights: int = 2 * text.hidden_size * self.channels + 3 * text.hidden_size * text.intermediate_size
        """The number of weights of the rest of a layer: queries, output and the gated MLP."""
        self.head_weights: int = text.hidden_size * text.vocab_size
        self.image = _image(config)
        """Vision tower and projector."""

    @property
    def weights_per_token(self) -> int:
        """Weights that one more token of a text is multiplied with."""
        return self.num_layers * (self.key_weights + self.other_weights) + self.head_weights

    def read(self, num_tokens: int, *, past: int = 0, answers: int | None = None) -> float:
        """The layers over new tokens after past ones, each looking at itself and at what is before it.

        If only the last `answers` of them are needed, the last layer has no more than keys and values of the others.
        """
        last = num_tokens if answers is None else answers
        return (self.num_layers - 1) * self._layer(num_tokens, past, num_tokens) + self._layer(
            last, past + num_tokens - last, num_tokens
        )

    def head(self, num_tokens: int) -> float:
        """Logits over the whole vocabulary."""
        return 2.0 * num_tokens * self.head_weights

    def _layer(self, num_queries: int, past: int, num_keys: int) -> float:
        """`past` tokens come before the first query; keys and values are computed for `num_keys` tokens."""
        pairs = num_queries * past + num_queries * (num_queries + 1) / 2
        products = num_queries * self.other_weights + num_keys * self.key_weights
        return 2.0 * products + 4.0 * pairs * self.channels


def shared_score(network: Arithmetic, lengths: Lengths) -> float:
    """The score as the engines need it: nothing but the answer's position leaves the last layer.

    What comes before the image is known. 101 rows of the output layer are left out: 0.01 % of it.
    """
    return network.image + network.read(lengths.score - lengths.beginning, past=lengths.beginning, answers=1)


def shared_texts(network: Arithmetic, lengths: Lengths) -> float:
    """The texts after the score: each prompt is read from the end of the image on.

    A text's first token comes with its prompt, so that one token fewer than the answer has is read.
    """
    return sum(
        network.read(length - lengths.prefix, past=lengths.prefix, answers=1)
        + network.read(lengths.answer - 1, past=length)
        + network.head(lengths.answer)
        for length in lengths.texts
    )


def official_score(network: Arithmetic, lengths: Lengths) -> float:
    """The score with logits at all positions."""
    return network.image + network.read(lengths.score) + network.head(lengths.score)


def official_texts(network: Arithmetic, lengths: Lengths) -> float:
    """The texts with image and whole prompt again for each, and logits at all positions of the prompt."""
    return sum(
        network.image + network.read(length + lengths.answer - 1) + network.head(length + lengths.answer - 1)
        for length in lengths.texts
    )


def _image(config: InternVLConfig) -> float:
    vision: Any = config.vision_config
    text: Any = config.text_config
    num_patches = (vision.image_size[0] // vision.patch_size[0]) * (vision.image_size[1] // vision.patch_size[1])
    patch_values = vision.num_channels * vision.patch_size[0] * vision.patch_size[1]
    num_tokens = num_patches + 1  # the class token
    layer_weights = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    layer = 2 * num_tokens * layer_weights + 4 * num_tokens**2 * vision.hidden_size
    merged = round(1 / config.downsample_ratio**2)  # patches that become one token of the language model
    projector_weights = merged * vision.hidden_size * text.hidden_size + text.hidden_size**2
    return float(
        2 * num_patches * patch_values * vision.hidden_size
        + vision.num_hidden_layers * layer
        + 2 * num_patches // merged * projector_weights
    )
