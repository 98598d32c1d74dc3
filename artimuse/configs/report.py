"""`artimuse report`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from artimuse.configs.access import AccessOptions
from artimuse.configs.options import ReportOptions


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What the page is about, and where it goes."""

    tables: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TABLE [TABLE ...]")]
    """Outputs of `artimuse score`: directories or URLs. NAME=TABLE gives a table a name of its own."""
    to: str | None = None
    """The page to write. Default: report.html in the first TABLE."""
    selection: str | None = None
    """A selection of these tables, as `artimuse select` writes it: the galleries show what it keeps."""
    by: str | None = None
    """Compare the images by the values of this column, such as meta_generator."""
    seed: int = 0
    """Which images are drawn for the galleries."""


@dataclass(frozen=True, kw_only=True)
class PageConfig(PageOptions, AccessOptions, ReportOptions):
    """Write a page about finished score tables: distributions, galleries, failures, and how the run went."""

    def __post_init__(self) -> None:
        """Raises ValueError without a table, and for networks that are none."""
        if not self.tables:
            raise ValueError("TABLE: name at least one output of artimuse score")
        _ = self.http_access
