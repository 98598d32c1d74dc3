"""`artimuse verify`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(ReportOptions):
    """Prove from the files of OUTPUT that every image has exactly one whole row."""

    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")]
    """A directory or URL written by `artimuse score`."""
