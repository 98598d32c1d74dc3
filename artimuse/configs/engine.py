"""What an engine needs to start: data that actors, notebooks and machines without the command line share."""

from dataclasses import dataclass
from typing import Literal, TypeVar

DEFAULT_MODEL = "Thunderbolt215215/ArtiMuse"

EngineName = Literal["transformers", "vllm", "exact", "fake"]
Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "float32", "bfloat16", "float16", "fp8"]
TrainingDType = Literal["auto", "float32", "bfloat16"]
StrategyName = Literal[
    "ordered_100",
    "unordered_100",
    "existing_50",
    "existing_25",
    "levels_5",
    "score_as_text",
    "expanded_25",
    "expanded_50",
    "expanded_100",
    "expanded_200",
    "expanded_250",
    "expanded_500",
]
AnyDType = TypeVar("AnyDType", DType, TrainingDType)


def chosen_dtype(dtype: AnyDType, device: str) -> AnyDType:
    """The precision on cpu or cuda: auto is bfloat16 on GPUs and float32 on CPUs."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if device == "cuda" else "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """What an engine needs to start; the part of a run's configuration that actors and notebooks share."""

    name: EngineName = "transformers"
    model: str = DEFAULT_MODEL
    device: Device = "auto"
    dtype: DType = "auto"
    batch_size: int | None = None
    """Images per forward pass; None lets the engine choose."""
    gpu_share: float = 1.0
    """How much of its GPU an engine may fill, for engines that take all memory when they start."""

    def __post_init__(self) -> None:
        if self.dtype == "fp8" and self.name != "transformers":
            raise ValueError(f"dtype fp8 is for engine transformers; {self.name} does not have it")
