"""`artimuse verify`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """Prove from the files of OUTPUT that every image has exactly one whole row."""

    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")]
    """A directory or URL written by `artimuse score`."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the report as JSON on stdout."""
    debug: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show tracebacks."""
