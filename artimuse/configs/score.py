"""`artimuse score`: what there is to choose."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from artimuse.attributes import attributes_named
from artimuse.configs.access import http_access
from artimuse.configs.engine import DEFAULT_MODEL, Device, DType, EngineConfig, EngineName, StrategyName
from artimuse.configs.limits import DEFAULT_FORMATS, DEFAULT_MAX_BYTES, DEFAULT_MAX_PIXELS, DecodeLimits, HttpAccess
from artimuse.configs.options import ReportOptions
from artimuse.configs.workers import HasWorkers
from artimuse.errors import ErrorCode

TarIds = Literal["keys", "names"]


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """What is scored, and where the table goes."""

    input: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="INPUT")]
    """A folder (searched recursively), a glob, or a manifest (.parquet, .csv, .tsv, .jsonl, .json) with a column `uri`,
    or a list of paths (.txt).
    Also Parquet files with images inside, and WebDataset tars. Each may be on a URL such as s3://."""
    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")]
    """A new directory, or one that an earlier run of the same command left unfinished."""
    uri_column: str | None = None
    """Column of a manifest with the path or URL of each image. Default: uri."""
    image_column: str | None = None
    """Column of Parquet files that holds the images. Default: the first of image, jpg, png, webp, bytes."""
    tar_ids: TarIds = "keys"
    """The id of an image in a tar: its key (WebDataset's: the name up to its first dot), or its whole name."""
    image_metadata: tyro.conf.FlagCreatePairsOff[bool] = False
    """Add columns with the prompt, negative prompt, seed and generator found in generated images."""
    allow_http: tyro.conf.FlagCreatePairsOff[bool] = False
    """Fetch http(s) URIs of manifests, from hosts with public addresses."""
    http_networks: str = ""
    """Networks that --allow-http may also reach, such as 10.1.0.0/16, separated by commas."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(HasWorkers):
    """Who scores, and where."""

    model: str = DEFAULT_MODEL
    """`nano` (built in, a demonstration), a directory, an fsspec URL, or a Hugging Face id with optional @revision."""
    strategy: StrategyName = "ordered_100"
    """How the model's answer becomes a score. Published ArtiMuse checkpoints are trained for ordered_100."""
    engine: EngineName = "transformers"
    """Who runs the network: `transformers` is built in, `vllm` needs pip install 'artimuse[vllm]' and is for GPUs.
    `exact` is the slow reference that others are compared with, one image and question at a time.
    `fake` scores by brightness without a model, to measure the pipeline alone."""
    device: Device = "auto"
    """Where the network runs; auto: cuda if workers, or with --workers 0 this machine, have GPUs."""
    dtype: DType = "auto"
    """Precision of the network; auto: bfloat16 on cuda, float32 on the CPU. `fp8` is faster on GPUs and scores a little
    differently: the matrices of the language model have 8 bits, all else bfloat16."""
    batch_size: int | None = None
    """Images per forward pass. Default: chosen by the engine."""
    num_gpus: float | None = None
    """GPUs per worker. Default: 1 if the cluster has or can get GPUs, else 0."""
    workers: str = "auto"
    """Ray actors that hold the model: N, or MIN:MAX to grow with the cluster. auto: one per GPU, else one per CPU.
    0: the work is done in this process, without Ray."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Which images are described in words, and how."""

    attributes: str = "none"
    """Attributes to describe in words: none, all, or slugs such as composition_and_design, separated by commas.
    An output that has its scores gets the texts without being scored again."""
    attributes_where: str | None = None
    """Describe only images whose row fulfils this SQL condition, such as "score >= 60 and width > 512"."""
    max_new_tokens: int = 256
    """Longest text, in tokens."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(ReportOptions):
    """How much of the work is done, and how it is checked, written and told."""

    limit: int | None = None
    """Score at most so many of the images that are missing, then stop; the same command goes on from there."""
    retry_failed: tuple[ErrorCode, ...] | None = None
    """Try failed rows again as well: all of them, or those with the error codes that follow."""
    rows_per_part: int = 1024
    """Rows written at a time: what a crash can cost, and how often files appear. Parts are merged later."""
    grace_s: float = 60.0
    """After SIGTERM or Ctrl-C, seconds that rows in flight may take to be written."""
    accept_decoder: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on in an OUTPUT that was begun with another version of Pillow or its libraries, whose pixels may differ a
    little."""
    parity_check: bool = True
    """Before the run, score 32 of its images by the plain reference as well, and stop if the scores differ."""
    parity_tolerance: float | None = None
    """Points by which the two scores may differ. Default: 0.01 in float32, 1.0 in 16 bits, 2.0 in fp8,
    which has to keep the order of the images as well (a rank correlation of 0.98)."""


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """What becomes a failed row, and how many of them are too many."""

    formats: str = ",".join(DEFAULT_FORMATS)
    """Image formats to decode, as Pillow names them, separated by commas."""
    max_bytes: int = DEFAULT_MAX_BYTES
    """Largest file to decode."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Largest picture to decode, width times height."""
    max_failed: float = 0.0
    """Fraction of rows that may fail before the exit status is 3."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(InputOptions, ModelOptions, TextOptions, RunOptions, LimitOptions):
    """Score every image of a collection and write one Parquet row per image.

    Running the same command again on the same OUTPUT does only what is missing.
    """

    def __post_init__(self) -> None:
        if self.uri_column and self.image_column:
            raise ValueError("--uri-column and --image-column: INPUT has its images inside, or says where they are")
        if not 0 <= self.max_failed <= 1:
            raise ValueError(f"--max-failed {self.max_failed}: expected a fraction from 0 to 1")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit {self.limit}: expected at least 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"--max-new-tokens {self.max_new_tokens}: expected at least 1")
        if self.parity_tolerance is not None and not self.parity_tolerance >= 0:
            raise ValueError(f"--parity-tolerance {self.parity_tolerance}: expected 0 or more")
        try:
            has_attributes = bool(attributes_named(self.attributes))
        except ValueError as error:
            raise ValueError(f"--attributes {self.attributes}: {error}") from error
        if self.attributes_where is not None and not self.attributes_where.strip():
            raise ValueError("--attributes-where is empty: leave it out to describe every image")
        if self.attributes_where is not None and not has_attributes:
            raise ValueError("--attributes-where needs --attributes: which texts should those images get?")
        if self.rows_per_part < 1:
            raise ValueError(f"--rows-per-part {self.rows_per_part}: expected at least 1")
        if self.grace_s < 0:
            raise ValueError(f"--grace-s {self.grace_s}: expected 0 or more")
        if self.num_gpus is not None and self.num_gpus < 0:
            raise ValueError(f"--num-gpus {self.num_gpus}: expected 0 or more")
        if self.device == "cuda" and self.num_gpus == 0:
            raise ValueError("--device cuda needs GPUs, but --num-gpus is 0")
        if self.device == "cpu" and self.num_gpus:
            raise ValueError(f"--device cpu with --num-gpus {self.num_gpus:g}: leave one of them out")
        if self.dtype == "fp8" and not self.parity_check:
            raise ValueError("--no-parity-check: only this check lets --dtype fp8 pass; --parity-tolerance is how far")
        _ = self.worker_range, self.limits, self.engine_config  # they raise ValueError on bad values

    @property
    def limits(self) -> DecodeLimits:
        names = tuple(name.strip().upper() for name in self.formats.split(",") if name.strip())
        return DecodeLimits(formats=names, max_bytes=self.max_bytes, max_pixels=self.max_pixels, http=self.http_access)

    @property
    def http_access(self) -> HttpAccess | None:
        """None unless allowed."""
        return http_access(allow_http=self.allow_http, http_networks=self.http_networks)

    @property
    def engine_config(self) -> EngineConfig:
        return EngineConfig(
            name=self.engine,
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            gpu_share=min(1.0, self.num_gpus or 1.0),
        )
