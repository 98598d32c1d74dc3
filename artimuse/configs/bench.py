"""`artimuse bench`: what there is to choose."""

from dataclasses import dataclass
from typing import Literal

from artimuse.configs.engine import Device, DType, EngineConfig
from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class BenchConfig(ReportOptions):
    """Measure an engine against the limits of this machine, beside a loop like the official code's.

    Both do the same work in turns: score all images, then score them and write eight texts about each.
    """

    model: str = "random:internvl3-1b"
    """A network with random weights and the real geometry, which needs no download: random:internvl3-8b,
    random:internvl3-1b, or random:internvl3-cpu (a piece of one, for CPUs). Or a checkpoint: `nano`, a directory, a URL
    or a Hugging Face id."""
    engine: Literal["transformers", "exact"] = "transformers"
    """Who runs the network; the loop runs the same one."""
    device: Device = "auto"
    """Where the network runs; auto: cuda if there is one."""
    dtype: DType = "auto"
    """Precision of the network; auto: bfloat16 on cuda, float32 on the CPU. With fp8 the loop has bfloat16."""
    batch_size: int | None = None
    """Images per forward pass. Default: chosen by the engine."""
    images: int | None = None
    """Images in a round. Default: 64 on a GPU, 8 on a CPU."""
    official_images: int = 1
    """Images that the loop writes texts about in a round: on a GPU, each of them takes it about half a minute."""
    new_tokens: int = 130
    """Tokens of each text; none of them ends earlier."""
    rounds: int = 3
    """The table has the median of so many, and their range."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "images", "official_images", "new_tokens", "rounds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} {value}: expected at least 1")
        _ = self.engine_config  # raises ValueError for a precision that the engine does not have

    @property
    def engine_config(self) -> EngineConfig:
        return EngineConfig(
            name=self.engine, model=self.model, device=self.device, dtype=self.dtype, batch_size=self.batch_size
        )
