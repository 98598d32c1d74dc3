"""`artimuse export`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from artimuse.configs.engine import Device
from artimuse.configs.options import ReportOptions

ExportForm = Literal["native", "official", "adapters"]
"""What an export is: a model in either layout, or adapters for peft."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ReportOptions):
    """Write a checkpoint of a training run as a model, or as adapters; read again and compared."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """OUTPUT of `artimuse train`, finished or not."""
    destination: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DESTINATION")]
    """A new directory or URL."""
    to: Literal["native", "official"] = "native"
    """The layout: transformers' own, or that of the published checkpoints."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Precision of the merged weights. Default: that of the training."""
    adapters: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write what was trained as a directory that peft loads on the base: adapters that are not merged, and beside them
    vision encoder and projector."""
    step: int | None = None
    """Which checkpoint. Default: the best by validation, or the last."""
    device: Device = "auto"
    """Where the comparison runs; auto: cuda if there is a GPU."""

    def __post_init__(self) -> None:
        if self.adapters and self.to != "native":
            raise ValueError(f"--to {self.to}: adapters are for transformers' own layout; leave --to or --adapters out")
        if self.adapters and self.dtype:
            raise ValueError(f"--dtype {self.dtype}: adapters are float32, as trained; leave --dtype or --adapters out")

    @property
    def form(self) -> ExportForm:
        return "adapters" if self.adapters else self.to
