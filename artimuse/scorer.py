"""Scorer = engine + strategy: the same object in a notebook and in a Ray actor."""

# B images, H and W pixels, C = 3 channels, K candidate tokens
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from artimuse.attributes import attributes_named
from artimuse.configs.engine import DEFAULT_MODEL, Device, DType, EngineConfig, StrategyName
from artimuse.configs.limits import DecodeLimits
from artimuse.engines import open_engine
from artimuse.errors import EngineFailed, RowError, UnreadableImage
from artimuse.images.decode import decode, resize
from artimuse.interfaces import Engine, FloatArray, PixelArray, ScoreDistribution, ScoreStrategy, Text
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES

ImageLike = str | Path | bytes | Image.Image


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """The score of one image, with the distribution it is the mean of."""

    score: float
    """Points, 0..100, higher is better; NaN if the answer was read as text and is no number."""
    std: float
    """Points; NaN for an answer that is read as text."""
    entropy: float
    """Nats; NaN likewise."""
    values_K: FloatArray
    """The scores the candidate tokens stand for."""
    probs_K: FloatArray | None
    """Their probabilities; None for strategies that read the score as text."""


class Scorer:
    """Scores decoded pixels (`score_pixels`, what actors call) or anything that is an image (`score`)."""

    def __init__(self, engine: Engine, strategy: ScoreStrategy) -> None:
        """Raises EngineFailed if the engine cannot ask as the strategy does, BadCheckpoint if it lacks its tokens."""
        if strategy.needs not in engine.capabilities:
            raise EngineFailed(
                f"{type(engine).__name__} gives no {strategy.needs}; strategy {strategy.name} needs them"
            )
        num_candidates, limit = len(strategy.candidates), engine.max_candidates
        if limit is not None and num_candidates > limit:
            raise EngineFailed(
                f"strategy {strategy.name} has {num_candidates} candidates, {type(engine).__name__} takes at most"
                f" {limit}; use another engine"
            )
        if engine.tokenizer is not None:
            strategy.check(engine.tokenizer)
        self.engine = engine
        self.strategy = strategy

    def score_pixels(self, pixels_BHWC: PixelArray) -> ScoreDistribution:
        """Scores uint8 RGB images as `images.decode.decode` makes them."""
        with self.engine.open(pixels_BHWC) as images:
            return self.strategy.ask(images)

    def score(self, images: Sequence[ImageLike]) -> list[Score]:
        """Scores paths or fsspec URLs, encoded bytes, or PIL images, in the order given.

        Raises UnreadableImage naming the first image that cannot be read or decoded.
        """
        if isinstance(images, ImageLike):
            raise TypeError("score() takes a list of images; for a single one: score([image])[0]")
        if not images:
            return []
        scores = self.score_pixels(_stacked(images))
        return [
            Score(
                score=float(scores.mean_B[i]),
                std=float(scores.std_B[i]),
                entropy=float(scores.entropy_B[i]),
                values_K=self.strategy.values_K,
                probs_K=None if scores.probs_BK is None else scores.probs_BK[i],
            )
            for i in range(len(images))
        ]

    def describe(
        self, images: Sequence[ImageLike], *, attributes: str = "all", max_new_tokens: int = 256
    ) -> list[dict[str, Text]]:
        """Texts by attribute slug for each image; `attributes` is `all`, or slugs separated by commas.

        Raises UnreadableImage as `score`, ValueError for an unknown attribute or an engine without texts.
        """
        if isinstance(images, ImageLike):
            raise TypeError("describe() takes a list of images; for a single one: describe([image])[0]")
        if "texts" not in self.engine.capabilities:
            raise ValueError(f"{type(self.engine).__name__} gives no texts")
        asked = attributes_named(attributes)
        if not images:
            return []
        with self.engine.open(_stacked(images)) as encoded:
            answers = encoded.generate(
                [attribute_question(attribute) for attribute in asked],
                rows=np.ones(len(images), dtype=np.bool_),
                max_new_tokens=max_new_tokens,
            )
        return [{attribute.slug: text for attribute, text in zip(asked, texts)} for texts in answers]


def load(
    model: str = DEFAULT_MODEL,
    *,
    strategy: StrategyName = "ordered_100",
    device: Device = "auto",
    dtype: DType = "auto",
    batch_size: int | None = None,
) -> Scorer:
    """Loads a checkpoint for use in this process, without Ray.

    `model` is `nano`, a directory, an fsspec URL, or a Hugging Face id with an optional @revision.
    Raises BadCheckpoint if it cannot be found or loaded.
    """
    config = EngineConfig(model=model, device=device, dtype=dtype, batch_size=batch_size)
    return Scorer(open_engine(config), STRATEGIES[strategy])


def _stacked(images: Sequence[ImageLike]) -> PixelArray:
    return np.stack([_pixels(image) for image in images])


def _pixels(image: ImageLike) -> PixelArray:
    limits = DecodeLimits()
    if isinstance(image, Image.Image):
        return _converted(image)
    name = f"{len(image)} bytes" if isinstance(image, bytes) else str(image)
    data = image if isinstance(image, bytes) else fetch(Location(str(image)), limits)
    decoded = data if isinstance(data, RowError) else decode(data, limits)
    if isinstance(decoded, RowError):
        raise UnreadableImage(f"{name}: {decoded.message} ({decoded.code})")
    return decoded.pixels_HWC


def _converted(image: Image.Image) -> PixelArray:
    try:
        return resize(image.convert("RGB"))
    except Exception as error:  # row boundary: Pillow decodes an opened file only now, and its plug-ins raise anything
        raise UnreadableImage(f"{getattr(image, 'filename', '') or image}: {error}") from error
