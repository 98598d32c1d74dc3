"""`artimuse export`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from artimuse.configs.engine import Device
from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ReportOptions):
    """Write a checkpoint of a training run as a model: adapters merged, read again and compared."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """OUTPUT of `artimuse train`, finished or not."""
    destination: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DESTINATION")]
    """A new directory or URL."""
    to: Literal["native", "official"] = "native"
    """The layout: transformers' own, or that of the published checkpoints."""
    step: int | None = None
    """Which checkpoint. Default: the best by validation, or the last."""
    device: Device = "auto"
    """Where the comparison runs; auto: cuda if there is a GPU."""
