"""Engines that fail through no fault of any image."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from artimuse.configs.engine import EngineConfig
from artimuse.engines import _REFERENCES, ENGINES
from artimuse.engines.fake import FakeEngine
from artimuse.engines.transformers import EncodedImages, TransformersEngine
from artimuse.interfaces import FloatArray, Images, PixelArray

FAULT = "the network has come apart"


class FailsOnEveryImage(FakeEngine):
    def open(self, pixels_BHWC: PixelArray) -> AbstractContextManager[Images]:
        raise RuntimeError(FAULT)


class FailsToLoad(FakeEngine):
    def __init__(self, config: EngineConfig) -> None:
        raise RuntimeError(FAULT)


class ShiftedImages(EncodedImages):
    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        return np.roll(super().logits(question, candidates), 1, axis=1)


class ShiftsCandidates(TransformersEngine):
    """Takes each candidate's logit for that of the next one."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[ShiftedImages]:
        yield ShiftedImages(self, pixels_BHWC)


class BrokenEngineConfig(EngineConfig):
    """Enters its engine into ENGINES where it arrives, so that only the workers of the run that has it know it."""

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], EngineConfig], tuple[dict[str, Any]]]:
        return _arrived, (asdict(self),)


def _arrived(settings: dict[str, Any]) -> EngineConfig:
    name = settings["name"]  # not one that a user may choose
    ENGINES[name] = f"{__name__}:{name}"
    _REFERENCES[name] = "exact"
    return EngineConfig(**settings)
