"""Scorer = engine + strategy: the same object in a notebook and in a Ray actor."""

# B images, H and W pixels, C = 3 channels, K candidate tokens
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from artimuse.attributes import attributes_named
from artimuse.configs.engine import DEFAULT_MODEL, Device, DType, EngineConfig, EngineName, StrategyName
from artimuse.configs.limits import DecodeLimits
from artimuse.engines import open_engine
from artimuse.errors import EngineFailed, RowError, UnreadableImage
from artimuse.images.decode import decode, own_pixel_limit, resize
from artimuse.interfaces import Engine, FloatArray, PixelArray, ScoreDistribution, ScoreStrategy, Text
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES

ImageLike = str | Path | bytes | Image.Image | PixelArray
IMAGES_PER_CHUNK = 64
"""Images decoded at a time: 39 MB of pixels, however many are asked about."""


_NUM_DIMS_OF_MANY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """The score of one image, with the distribution it is the mean of."""

    score: float
    """Points, 0..100, higher is better; NaN if the answer was read as text and is no number."""
    std: float
    """Points; NaN for an answer that is read as text."""
    entropy: float
    """Nats; NaN likewise."""
    values_K: FloatArray = field(repr=False)
    """The scores the candidate tokens stand for."""
    probs_K: FloatArray | None = field(repr=False)
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

    def score(self, images: Iterable[ImageLike]) -> list[Score]:
        """Scores paths or fsspec URLs, encoded bytes, PIL images, or uint8 arrays (H, W, 3) or (H, W), in their order.

        Raises UnreadableImage naming the first image that cannot be read or decoded.
        """
        return [score for pixels_BHWC in _chunks(images, "score") for score in self._scores(pixels_BHWC)]

    def _scores(self, pixels_BHWC: PixelArray) -> list[Score]:
        scores = self.score_pixels(pixels_BHWC)
        return [
            Score(
                score=float(scores.mean_B[i]),
                std=float(scores.std_B[i]),
                entropy=float(scores.entropy_B[i]),
                values_K=self.strategy.values_K,
                probs_K=None if scores.probs_BK is None else scores.probs_BK[i],
            )
            for i in range(len(pixels_BHWC))
        ]

    def describe(
        self, images: Iterable[ImageLike], *, attributes: str | Sequence[str] = "all", max_new_tokens: int = 256
    ) -> list[dict[str, Text]]:
        """Texts by attribute slug for each image; `attributes` is `all`, or slugs, in a list or separated by commas.

        Raises UnreadableImage as `score`, ValueError for an unknown attribute or an engine without texts.
        """
        if "texts" not in self.engine.capabilities:
            raise ValueError(f"{type(self.engine).__name__} gives no texts")
        asked = attributes_named(attributes if isinstance(attributes, str) else ",".join(attributes) or "none")
        described = []
        for pixels_BHWC in _chunks(images, "describe"):
            with self.engine.open(pixels_BHWC) as encoded:
                answers = encoded.generate(
                    [attribute_question(attribute) for attribute in asked],
                    rows=np.ones(len(pixels_BHWC), dtype=np.bool_),
                    max_new_tokens=max_new_tokens,
                )
            described += [{attribute.slug: text for attribute, text in zip(asked, texts)} for texts in answers]
        return described


def load(
    model: str = DEFAULT_MODEL,
    *,
    strategy: StrategyName = "ordered_100",
    engine: EngineName = "transformers",
    device: Device = "auto",
    dtype: DType = "auto",
    batch_size: int | None = None,
) -> Scorer:
    """Loads a checkpoint for use in this process, without Ray.

    `model` is `nano`, a directory, an fsspec URL, or a Hugging Face id with an optional @revision.
    Raises BadCheckpoint if it cannot be found or loaded.
    """
    config = EngineConfig(name=engine, model=model, device=device, dtype=dtype, batch_size=batch_size)
    return Scorer(open_engine(config), STRATEGIES[strategy])


def _chunks(images: Iterable[ImageLike], method: str) -> Iterator[PixelArray]:
    """The pixels of a bounded number of images at a time. Raises TypeError for a single image."""
    is_one_array = isinstance(images, np.ndarray) and images.ndim < _NUM_DIMS_OF_MANY
    if is_one_array or isinstance(images, str | Path | bytes | Image.Image):
        raise TypeError(f"{method}() takes a list of images; for a single one: {method}([image])[0]")
    left = iter(images)
    while chunk := list(islice(left, IMAGES_PER_CHUNK)):
        with own_pixel_limit():
            pixels_BHWC = np.stack([_pixels(image) for image in chunk])
        yield pixels_BHWC


def _pixels(image: ImageLike) -> PixelArray:
    limits = DecodeLimits()
    if isinstance(image, np.ndarray):
        return _converted(_as_image(image))
    if isinstance(image, Image.Image):
        return _converted(image)
    name = f"{len(image)} bytes" if isinstance(image, bytes) else str(image)
    data = image if isinstance(image, bytes) else fetch(Location(str(image)), limits)
    decoded = data if isinstance(data, RowError) else decode(data, limits)
    if isinstance(decoded, RowError):
        raise UnreadableImage(f"{name}: {decoded.message} ({decoded.code})")
    return decoded.pixels_HWC


def _as_image(pixels: PixelArray) -> Image.Image:
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not is_picture or not pixels.size:
        raise UnreadableImage(
            f"an array of shape {pixels.shape} and type {pixels.dtype}: expected uint8 of (H, W, 3) or (H, W)"
        )
    return Image.fromarray(pixels)


def _converted(image: Image.Image) -> PixelArray:
    try:
        return resize(image.convert("RGB"))
    except Exception as error:  # row boundary: Pillow decodes an opened file only now, and its plug-ins raise anything
        raise UnreadableImage(f"{getattr(image, 'filename', '') or image}: {error}") from error
