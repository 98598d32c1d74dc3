"""The work that is measured, and the timing of an engine that does it: all answer the same questions about the same
pixels."""

# B images, H and W pixels, C = 3 channels
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from artimuse.attributes import ATTRIBUTES
from artimuse.bench.ceilings import Ceilings, synchronize
from artimuse.bench.peak import peak_bytes
from artimuse.bench.report import Result, Spread
from artimuse.interfaces import Engine, PixelArray
from artimuse.prompts import attribute_question
from artimuse.scoring.tokens import ORDERED_100

STRATEGY = ORDERED_100
QUESTIONS = tuple(attribute_question(attribute) for attribute in ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be found out about an image: the score, and a text on each attribute."""

    new_tokens: int | None = None
    """The length of each text, exactly; None: no texts."""

    @property
    def name(self) -> str:
        return f"score + {len(QUESTIONS)} texts" if self.new_tokens else "score"

    def do(self, engine: Engine, pixels_BHWC: PixelArray) -> None:
        with engine.open(pixels_BHWC) as images:
            images.logits(STRATEGY.question, STRATEGY.candidates)
            if self.new_tokens:
                everyone = np.ones(len(pixels_BHWC), dtype=np.bool_)
                answers = images.generate(QUESTIONS, rows=everyone, max_new_tokens=self.new_tokens)
                assert {len(text.token_ids) for texts in answers for text in texts} == {self.new_tokens}


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """An engine that does the work, and what was measured meanwhile."""

    name: str
    engine: Engine
    device: torch.device
    pixels_BHWC: dict[Work, PixelArray]
    """The images of each round."""
    flop: dict[Work, float]
    """Floating-point operations per image."""
    peak: dict[Work, int] = field(default_factory=dict)
    """The peak of memory, in bytes."""
    rates: dict[Work, list[float]] = field(default_factory=dict)
    """Images/s of each round."""

    def warm_up(self, work: Work, num_images: int) -> None:
        """Does the work without a clock: the first time memory is allocated, and kernels are loaded and recorded."""
        pixels_BHWC = self.pixels_BHWC[work][:num_images]
        self.peak[work] = peak_bytes(lambda: work.do(self.engine, pixels_BHWC), self.device)

    def run(self, work: Work) -> float:
        """One round; returns images/s."""
        pixels_BHWC = self.pixels_BHWC[work]
        synchronize(self.device)
        start = time.perf_counter()
        work.do(self.engine, pixels_BHWC)
        synchronize(self.device)
        rate = len(pixels_BHWC) / (time.perf_counter() - start)
        self.rates.setdefault(work, []).append(rate)
        return rate

    def result(self, work: Work, ceilings: Ceilings) -> Result:
        images_per_s = Spread.of(self.rates[work])
        tokens_per_image = len(QUESTIONS) * work.new_tokens if work.new_tokens else None
        return Result(
            num_images=len(self.pixels_BHWC[work]),
            images_per_s=images_per_s,
            tokens_per_s=tokens_per_image and tokens_per_image * images_per_s.median,
            flop_per_image=self.flop[work],
            share_of_matmul=self.flop[work] * images_per_s.median / ceilings.matmul_flop_per_s,
            peak_bytes=self.peak[work],
        )
