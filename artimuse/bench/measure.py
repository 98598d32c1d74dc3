"""Measures an engine beside the official-style loop: the same network, the same work, in turns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from artimuse.bench.ceilings import measure_ceilings
from artimuse.bench.flop import Arithmetic, Lengths, official_score, official_texts, shared_score, shared_texts
from artimuse.bench.machine import describe
from artimuse.bench.networks import RANDOM, random_network
from artimuse.bench.official import OfficialLoop
from artimuse.bench.report import BenchReport, Comparison, Spread
from artimuse.bench.timing import QUESTIONS, STRATEGY, EngineTiming, Work
from artimuse.configs.engine import EngineConfig, chosen_dtype
from artimuse.engines import engine_class
from artimuse.engines.answers import STOP_TOKEN
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.interfaces import Engine, Tokenizer
from artimuse.model.find import find_checkpoint
from artimuse.model.load import Network, load_network
from artimuse.model.template import END_OF_IMAGE

logger = logging.getLogger(__name__)

# The texts of 128 images fill a GPU; with twice as many, some images wait for others to finish, as in a long run.
NUM_IMAGES = {"cuda": 256, "cpu": 8}
# The loop takes one image at a time, so more would not be faster.
MOST_OFFICIAL_SCORES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """How much is measured."""

    num_images: int | None = None
    """None: as many as keep the device busy."""
    new_tokens: int = 130
    """The length of each text, exactly."""
    num_rounds: int = 3
    official_images: int = 1
    """Images per round that the official-style loop writes texts about."""


def measure(config: EngineConfig, workload: Workload) -> BenchReport:
    """Raises BadCheckpoint for a model that is not there, ValueError for a device that is not."""
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    network = _make_network(config.model, dtype, device)
    forget_stopping(network)
    ceilings = measure_ceilings(device, dtype)
    logger.info("limits %s", ceilings)
    setup = _Setup(config, network, device, workload)
    works = (setup.score, setup.texts)
    # Before there is an engine, whose memory would count as the loop's.
    loop = setup.official_loop()
    engine = setup.engine()
    _take_turns((loop, engine), works, workload.num_rounds)
    return BenchReport(
        model=network.checkpoint.name,
        engine=config.name,
        batch_size=getattr(engine.engine, "batch_size", None),
        device=device.type,
        dtype=chosen_dtype(config.dtype, device.type),
        machine=describe(device),
        lengths=setup.lengths,
        ceilings=ceilings,
        one_text_tokens_per_s=ceilings.memory_bytes_per_s / (setup.arithmetic.weights_per_token * dtype.itemsize),
        comparisons=tuple(
            Comparison(
                work=work.name,
                engine=engine.result(work, ceilings),
                official=loop.result(work, ceilings),
                ratio=Spread.of([fast / slow for fast, slow in zip(engine.rates[work], loop.rates[work])]),
            )
            for work in works
        ),
    )


class _Setup:
    """The same network and the same pixels for both."""

    def __init__(self, config: EngineConfig, network: Network, device: torch.device, workload: Workload) -> None:
        self.config = config
        self.network = network
        self.device = device
        self.workload = workload
        self.score, self.texts = Work(), Work(workload.new_tokens)
        self.arithmetic = Arithmetic(network.model.config)
        self.lengths = prompt_lengths(network, workload.new_tokens)
        num_images = workload.num_images or NUM_IMAGES[device.type]
        shape = (num_images, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)
        self.pixels_BHWC = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def official_loop(self) -> EngineTiming:
        """Warmed up, like the engine."""
        flop = official_score(self.arithmetic, self.lengths)
        loop = EngineTiming(
            "official loop",
            cast(Engine, OfficialLoop(self.config, self.network)),
            self.device,
            {
                self.score: self.pixels_BHWC[:MOST_OFFICIAL_SCORES],
                self.texts: self.pixels_BHWC[: self.workload.official_images],
            },
            {self.score: flop, self.texts: flop + official_texts(self.arithmetic, self.lengths)},
        )
        for work in (self.score, self.texts):
            loop.warm_up(work, 1)
        return loop

    def engine(self) -> EngineTiming:
        make_engine: Any = engine_class(self.config.name)
        network = self.network
        if self.config.dtype == "fp8":  # which changes its network, and the loop needs one
            network = _make_network(self.config.model, torch.bfloat16, self.device)
            forget_stopping(network)
        flop = shared_score(self.arithmetic, self.lengths)
        engine = EngineTiming(
            self.config.name,
            make_engine(self.config, network),
            self.device,
            {self.score: self.pixels_BHWC, self.texts: self.pixels_BHWC},
            {self.score: flop, self.texts: flop + shared_texts(self.arithmetic, self.lengths)},
        )
        for work in (self.score, self.texts):
            engine.warm_up(work, len(self.pixels_BHWC))
        return engine


def _take_turns(timings: Sequence[EngineTiming], works: Sequence[Work], num_rounds: int) -> None:
    for i in range(num_rounds):
        for work in works:
            for timing in timings:
                rate = timing.run(work)
                logger.info("round=%d work=%r who=%r images_per_s=%.3g", i + 1, work.name, timing.name, rate)


def _make_network(model: str, dtype: torch.dtype, device: torch.device) -> Network:
    if model.startswith(RANDOM):
        return random_network(model, dtype=dtype, device=device)
    return load_network(find_checkpoint(model), dtype=dtype, device=device)


def forget_stopping(network: Network) -> None:
    """Makes every text end at its limit: the stop token's logit becomes 0, and the greatest of a vocabulary is not."""
    [stop_id] = network.tokenizer.encode(STOP_TOKEN, add_special_tokens=False)
    network.model.lm_head.weight[stop_id] = 0


def prompt_lengths(network: Network, new_tokens: int) -> Lengths:
    tokenizer = cast(Tokenizer, network.tokenizer)
    prompt, *others = (network.template.token_ids(tokenizer, q) for q in (STRATEGY.question, *QUESTIONS))
    [end_id] = tokenizer.encode(END_OF_IMAGE, add_special_tokens=False)
    return Lengths(
        prefix=prompt.index(end_id) + 1,
        beginning=prompt.index(network.model.config.image_token_id),
        score=len(prompt),
        texts=tuple(map(len, others)),
        answer=new_tokens,
    )
