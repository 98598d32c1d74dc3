"""`artimuse compare`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from artimuse.configs.access import AccessOptions
from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """What is compared, and how."""

    table_a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TABLE_A")]
    """An output of `artimuse score`: a directory or URL."""
    table_b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TABLE_B")]
    """The output that is compared with it."""
    by: str | None = None
    """Pair what has the same value in this column; several images of a value count as their mean.
    Without it the same files are paired, else the same prompts, else nothing: then the means of all images are
    compared."""
    seed: int = 0
    """The seed of the bootstrap. The same command prints the same numbers."""
    to: str | None = None
    """Also write a page with plots and pictures, such as compare.html."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(ComparisonOptions, AccessOptions, ReportOptions):
    """Compare two finished score tables: two generators, or two checkpoints on the same images."""

    def __post_init__(self) -> None:
        """Raises ValueError for a negative seed, and for networks that are none or have no page to be for."""
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed}: expected 0 or more")
        if self.allow_http and self.to is None:
            raise ValueError("--allow-http needs --to: only the page has pictures")
        _ = self.http_access
