"""`artimuse materialize`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import tyro

from artimuse.configs.access import AccessOptions
from artimuse.configs.options import ReportOptions

FormatName = Literal[
    "folder",
    "imagefolder",
    "webdataset",
    "kohya",
    "onetrainer",
    "diffusers-dpo",
    "pickscore",
    "trl",
    "simpletuner",
    "hpsv3",
    "imagereward",
]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What is copied, and where it goes."""

    selection: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SELECTION")]
    """A Parquet file that `artimuse select` has written."""
    destination: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DEST")]
    """A new directory or URL, or one that an earlier run of the same command left unfinished."""
    format: FormatName
    """How the images are laid out.
    Of selected images: `folder` (files under their image_id), `imagefolder` (Hugging Face), `webdataset` (tars),
    `kohya` and `onetrainer` (files with captions beside them).
    Of pairs (select --pairs): `diffusers-dpo`, `pickscore` and `trl` (Parquet), `simpletuner` (two folders), `hpsv3`
    and `imagereward` (files and a list)."""


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """What is written beside the images, and how."""

    caption: str | None = None
    """The column with the caption of each image, for kohya, onetrainer and webdataset."""
    shard_mb: int = 500
    """About how large a tar or Parquet file gets, in millions of bytes."""
    link: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make hard links in place of copies. The images must be files on the disk of DEST."""


@dataclass(frozen=True, kw_only=True)
class CopyingOptions(ReportOptions):
    """How the run goes on, and what it tells."""

    retry_failed: tyro.conf.FlagCreatePairsOff[bool] = False
    """Try what has failed in an earlier run again as well."""
    max_failed: float = 0.0
    """Fraction of images or pairs that may fail before the exit status is 3."""
    grace_s: float = 60.0
    """After SIGTERM or Ctrl-C, seconds that what is in flight may take to be written."""


@dataclass(frozen=True, kw_only=True)
class MaterializeConfig(TargetOptions, LayoutOptions, AccessOptions, CopyingOptions):
    """Copy the images of a selection, byte by byte, in the layout that a trainer reads.

    Running the same command again on the same DEST does only what is missing.
    """

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        if not 0 <= self.max_failed <= 1:
            raise ValueError(f"--max-failed {self.max_failed}: expected a fraction from 0 to 1")
        if self.grace_s < 0:
            raise ValueError(f"--grace-s {self.grace_s}: expected 0 or more")
        if self.shard_mb < 1:
            raise ValueError(f"--shard-mb {self.shard_mb}: expected at least 1")
        _ = self.http_access

    @property
    def shard_bytes(self) -> int:
        return self.shard_mb * MB
