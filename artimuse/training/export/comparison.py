"""Whether two networks answer alike: the trained one with its adapters, and the merged one read from its files."""

# B images, H and W pixels, C = 3 channels, V vocabulary
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.train import TrainConfig
from artimuse.engines.answers import candidate_ids
from artimuse.engines.pixels import normalize
from artimuse.errors import ExportFailed
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.interfaces import PixelArray, Tokenizer
from artimuse.model.load import Network
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES
from artimuse.scoring.tokens import TokenStrategy
from artimuse.training.network import TrainedNetwork

NUM_IMAGES = 4
MOST_PROBABILITY = {"float32": 1e-3, "bfloat16": 0.1}
"""How much the probability of any first answer token may differ; rounding to 16 bits is felt."""
MOST_POINTS = {"float32": 0.01, "bfloat16": 1.0}
"""How much a score may differ, in points: what `artimuse score` allows its engines."""


@dataclass(frozen=True, slots=True)
class ExportComparison:
    """The largest differences on fixed images."""

    probability: float
    """The largest difference in the probability of any token as the first one of an answer."""
    points: float | None
    """The largest difference between scores, in points; None for a run that did not train scores."""

    def __str__(self) -> str:
        points = "" if self.points is None else f", scores by {self.points:.2g} points"
        return f"probabilities differ by at most {self.probability:.2g}{points}"


def compare(trained: TrainedNetwork, reloaded: Network, config: TrainConfig) -> ExportComparison:
    """Raises ExportFailed if they are further apart than rounding can explain."""
    trained.train(False)
    strategy = STRATEGIES[config.strategy]
    tokenizer = cast(Tokenizer, reloaded.tokenizer)
    pixels_BHWC = fixed_images()
    probability, points = 0.0, None
    for question in (strategy.question, attribute_question(ATTRIBUTES[0])):
        token_ids = reloaded.template.token_ids(tokenizer, question)
        first, second = (first_logits(model, token_ids, pixels_BHWC) for model in (trained.model, reloaded.model))
        difference = torch.softmax(first, -1) - torch.softmax(second, -1)
        probability = max(probability, float(difference.abs().max()))
        if (
            question == strategy.question
            and config.targets in ("scores", "both")
            and isinstance(strategy, TokenStrategy)
        ):
            own = candidate_ids(tokenizer, strategy.candidates)
            scores = [strategy.distribution(logits[:, own].numpy()).mean_B for logits in (first, second)]
            points = float(np.abs(scores[0] - scores[1]).max())
    comparison = ExportComparison(probability, points)
    if not (probability <= MOST_PROBABILITY[config.dtype] and (points is None or points <= MOST_POINTS[config.dtype])):
        raise ExportFailed(f"the merged model does not answer as the trained one ({comparison}); nothing was exported")
    return comparison


def fixed_images() -> PixelArray:
    """The same smooth noise each time: uint8 (B, H, W, C)."""
    random = np.random.default_rng(448)
    coarse = random.integers(0, 256, (NUM_IMAGES, 14, 14, 3), dtype=np.uint8)
    size = IMAGE_SIZE_PX // coarse.shape[1]
    return coarse.repeat(size, axis=1).repeat(size, axis=2)


@torch.inference_mode()
def first_logits(model: torch.nn.Module, token_ids: list[int], pixels_BHWC: PixelArray) -> torch.Tensor:
    """The logits of the first answer token: float32 (B, V), on the CPU."""
    weight = next(model.parameters())
    rows = []
    for pixels_HWC in pixels_BHWC:
        output = model(
            input_ids=torch.tensor([token_ids], device=weight.device),
            pixel_values=normalize(torch.from_numpy(pixels_HWC)[None].to(weight.device), weight.dtype),
            use_cache=False,
            logits_to_keep=1,
        )
        rows.append(output.logits[0, -1].float().cpu())
    return torch.stack(rows)
