"""An engine without a network, for tests and for measuring the pipeline alone: brighter pictures score higher."""

# B images, H and W pixels, C = 3 channels, K candidate tokens
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from artimuse.configs.engine import EngineConfig
from artimuse.interfaces import BoolArray, Capability, FloatArray, PixelArray, Text, Tokenizer


class FakeImages:
    """Answers by mean brightness alone."""

    def __init__(self, pixels_BHWC: PixelArray) -> None:
        self.brightness_B = pixels_BHWC.mean(axis=(1, 2, 3), dtype=np.float64) / 255

    def __len__(self) -> int:
        return len(self.brightness_B)

    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        """A bell around the brightness, a tenth of the scale wide: the expected score is about 100 x brightness."""
        positions_K = np.linspace(0, 1, len(candidates))
        logits_BK: FloatArray = (-0.5 * ((positions_K - self.brightness_B[:, None]) / 0.1) ** 2).astype(np.float32)
        return logits_BK

    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        return [
            [self._text(question, brightness, max_new_tokens) for question in questions]
            for brightness in self.brightness_B[rows]
        ]

    @staticmethod
    def _text(question: str, brightness: float, max_new_tokens: int) -> Text:
        words = f"{question} Brightness {brightness:.3f}.".split()
        return Text(" ".join(words[:max_new_tokens]), truncated=len(words) > max_new_tokens)


class FakeEngine:
    """Implements `interfaces.Engine`."""

    capabilities: frozenset[Capability] = frozenset({"logits", "texts"})
    max_candidates: int | None = None
    tokenizer: Tokenizer | None = None

    def __init__(self, config: EngineConfig) -> None:
        del config  # every engine is made from one; this one has nothing to choose

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[FakeImages]:
        yield FakeImages(pixels_BHWC)
