"""`artimuse demo`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class DemoConfig(ReportOptions):
    """Score a few synthetic pictures, or a folder of your own, with the built-in model."""

    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")] = "demo-output"
    """Where the score table goes."""
    images: str | None = None
    """A folder to score instead of the synthetic pictures."""
