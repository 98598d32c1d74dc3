"""Engines that fail through no fault of any image."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from artimuse.configs import EngineConfig
from artimuse.engines import ENGINES
from artimuse.engines.fake import FakeEngine
from artimuse.interfaces import Images, PixelArray

FAULT = "the network has come apart"


class FailsOnEveryImage(FakeEngine):
    def open(self, pixels_BHWC: PixelArray) -> AbstractContextManager[Images]:
        raise RuntimeError(FAULT)


class FailsToLoad(FakeEngine):
    def __init__(self, config: EngineConfig) -> None:
        raise RuntimeError(FAULT)


class BrokenEngineConfig(EngineConfig):
    """Enters its engine into ENGINES where it arrives, so that only the workers of the run that has it know it."""

    def __reduce__(self) -> tuple[Callable[[str], EngineConfig], tuple[str]]:
        return _arrived, (self.name,)


def _arrived(name: str) -> EngineConfig:
    ENGINES[name] = f"{__name__}:{name}"
    return EngineConfig(name=name)  # type: ignore[arg-type]  # not a name that a user may choose
