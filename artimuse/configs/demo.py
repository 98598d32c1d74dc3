"""`artimuse demo`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Score a few synthetic pictures, or a folder of your own, with the built-in model."""

    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")] = "demo-output"
    """Where the score table goes."""
    images: str | None = None
    """A folder to score instead of the synthetic pictures."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the report as JSON on stdout."""
    debug: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show tracebacks, and the logs of Ray and its workers."""
