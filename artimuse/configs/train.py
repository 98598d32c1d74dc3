"""The configuration of a training run. The paper's two stages are in `presets.py`."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from artimuse.configs.engine import Device, StrategyName, TrainingDType
from artimuse.configs.limits import DEFAULT_MAX_BYTES, DEFAULT_MAX_PIXELS, DecodeLimits
from artimuse.configs.options import ReportOptions
from artimuse.configs.parts import PARTS, SEPARATED_BY_COMMAS, Part
from artimuse.configs.workers import HasWorkers
from artimuse.interfaces import AnnotationKind

PresetName = Literal[
    "paper_text_pretrain", "paper_score_finetune", "nano_base", "nano_text_pretrain", "nano_score_finetune"
]
Targets = Literal["answers", "texts", "scores", "both"]
BASE_MODEL = "OpenGVLab/InternVL3-8B"
MOST_COPIES = 100
"""The most that an example may come in an epoch: each is read and written as often."""

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")

_OF_PRESET = tyro.conf.arg(help_behavior_hint=lambda value: f"(default: the preset's, {value})")
_AT_LEAST_ONE = (
    "epochs",
    "batch_size",
    "micro_batch_size",
    "questions_together",
    "validation_images",
    "checkpoint_steps",
    "keep_checkpoints",
    "max_sequence_length",
)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is learnt from, and where everything goes."""

    annotations: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ANNOTATIONS")]
    """The annotation table: a Parquet file, a folder of them, .jsonl, .csv or .tsv; on disk or on a URL such as s3://."""
    output: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUTPUT")]
    """A new directory or URL, or one that an earlier run of the same command left unfinished."""
    more_annotations: tuple[str, ...] = ()
    """Further annotation tables, which are read after the first."""
    datasets: tuple[str, ...] = ()
    """Rows of the table to train on, by their data set. Default: all."""
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATASET=WEIGHT ...")] = ()
    """How often the examples of a data set come in an epoch: AVA=2 all twice, AVA=0.5 a seeded half. Default: once."""
    kinds: Annotated[tuple[AnnotationKind, ...], _OF_PRESET]
    """Rows of the table to train on, by their kind (the paper's types 1, 2, 3)."""
    split: str = "train"
    """Rows of the table to train on, by their split."""
    validation_split: str = "validation"
    """Rows of the table to validate on. Without any, the last checkpoint is the one that is exported."""
    validation_images: int = 512
    """Validate on at most so many examples, the same ones each time."""
    eval_steps: int | None = None
    """Validate every so many steps, and at every checkpoint. Default: ten times or more in a stage."""


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What is learnt, and how fast: most of it is the preset's.

    Without --preset the values shown are those of paper_text_pretrain.
    """

    preset: PresetName
    """Where the defaults of all other options come from."""
    base: str = BASE_MODEL
    """What to start from: a directory, an fsspec URL or a Hugging Face id with optional @revision.
    The score stage starts from the text stage's export."""
    system_message: Annotated[str, _OF_PRESET] = "base"
    """What the prompt begins with, in training and in the exported model. internvl: the Chinese message that InternVL's
    own trainer always uses; base: that of the base; anything else is the message itself."""
    targets: Annotated[Targets, _OF_PRESET]
    """What the model learns to answer: the attribute texts, the score, or both; or the table's own questions."""
    strategy: StrategyName = "ordered_100"
    """How a score becomes an answer."""
    train: Annotated[tuple[Part, ...], SEPARATED_BY_COMMAS] = PARTS
    """The parts of the network that learn, separated by commas; the others stay as the base has them."""
    language_model: Literal["lora", "full"] = "lora"
    """Train adapters of the language model, or all its weights. Vision encoder and projector are trained in full."""
    lora_rank: Annotated[int, _OF_PRESET]
    """Rank of the adapters of the language model; their alpha is twice as much."""
    lora_dropout: float = 0.05
    """Share of the adapters' inputs that is left out at random while training; layers with the same input share it."""
    learning_rate: Annotated[float, _OF_PRESET]
    """The highest learning rate, which is reached after the warm-up."""
    vision_learning_rate: float | None = None
    """The highest learning rate of the vision encoder. Default: that of all other weights, as in the paper."""
    projector_learning_rate: float | None = None
    """The highest learning rate of the projector between vision encoder and language model. Default: the same."""
    weight_decay: Annotated[float, _OF_PRESET]
    """Weight decay of weight matrices; biases and norms are not decayed."""
    epochs: Annotated[int, _OF_PRESET]
    """How often the training goes through all examples."""
    batch_size: int = 128
    """Examples per step, however many workers there are."""
    questions_together: int = 1
    """Examples about one image that come one after the other.
    A micro-batch packs them into one sequence, which has the image and the beginning of their questions once."""
    warmup_ratio: float = 0.03
    """Share of all steps in which the learning rate rises; afterwards it falls as a cosine to 0."""
    max_grad_norm: float = 1.0
    """Gradients with a greater norm are scaled down to this one."""
    seed: int = 2025
    """Seed of the order of the examples, of the adapters' first weights, and of dropout."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions(HasWorkers):
    """What the training runs on. Examples and learning rates of every step are the same on all of it."""

    workers: str = "auto"
    """Ray Train workers: N, or MIN:MAX to grow and shrink with the cluster. auto: one per GPU, else one.
    0: the training is done in this process, without Ray."""
    device: Device = "auto"
    """Where the network runs; auto: cuda if the cluster, or with --workers 0 this machine, has GPUs."""
    dtype: TrainingDType = "auto"
    """Precision of the network; weights and optimizer are kept in float32. auto: bfloat16 on GPUs, float32 on CPUs."""
    zero: Literal[2, 3] = 2
    """DeepSpeed's ZeRO stage: 2 shards the optimizer and gradients, 3 the weights as well."""
    micro_batch_size: int = 4
    """Examples that a worker has in the network at a time."""
    gradient_checkpointing: bool = True
    """Compute activations a second time instead of keeping them, in as many layers as the GPU's memory requires (in
    all of them with --language-model full, and in the vision encoder)."""
    cpus_per_worker: float = 1.0
    """CPUs that a worker takes, for decoding and, without a GPU, for the network. With --workers 0 torch decides."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(ReportOptions):
    """How the run is looked after and told."""

    checkpoint_steps: int = 500
    """A checkpoint every so many steps, and at the end."""
    checkpoint_minutes: float = 30.0
    """A checkpoint at least every so many minutes."""
    keep_checkpoints: int = 2
    """How many of the last checkpoints are kept; the best one by validation is kept as well."""
    max_failures: int = 3
    """How often lost workers are started again before the run gives up; preemptions do not count.
    With --workers 0 nothing is started again: the same command goes on from the last checkpoint."""
    tracker: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    """Where the curves go besides OUTPUT's own history: OUTPUT/tensorboard, or Weights & Biases."""


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """What is left out, or refused."""

    bad_images: Literal["skip", "stop"] = "skip"
    """What to do about images that are missing or cannot be decoded: leave them out, always the same ones, or stop."""
    max_bytes: int = DEFAULT_MAX_BYTES
    """Largest file to decode."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Largest picture to decode, width times height."""
    max_sequence_length: int = 8192
    """Most tokens of a prompt with its answer; a longer one is refused before training."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions, StageOptions, MachineOptions, RunOptions, LimitOptions):
    """Train one stage on an annotation table, on 1 to N workers, and export the result.

    Running the same command again on the same OUTPUT goes on from its last checkpoint. The defaults are the preset's.
    """

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            self._expect(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "max_grad_norm", "checkpoint_minutes", "cpus_per_worker"):
            self._expect(name, getattr(self, name) > 0, "more than 0")
        for name in ("weight_decay", "max_failures"):
            self._expect(name, getattr(self, name) >= 0, "0 or more")
        for name in ("lora_dropout", "warmup_ratio"):
            self._expect(name, 0 <= getattr(self, name) < 1, "0 or more, and less than 1")
        self._expect("lora_rank", self.lora_rank >= 1 or self.language_model == "full", "at least 1")
        self._expect("vision_learning_rate", self.vision_rate > 0, "more than 0")
        self._expect("projector_learning_rate", self.projector_rate > 0, "more than 0")
        self._expect("eval_steps", self.eval_steps is None or self.eval_steps >= 1, "at least 1")
        self._expect("kinds", bool(self.kinds), "at least one kind")
        if not self.train or not set(self.train) <= set(PARTS):
            raise ValueError(
                f"--train {','.join(self.train)}: expected one or more of {', '.join(PARTS)}, separated by commas"
            )
        if repeated := [table for table, count in Counter(self.tables).items() if count > 1]:
            raise ValueError(f"--more-annotations {repeated[0]}: given twice; --weights says how often examples come")
        _ = self.dataset_weights  # raises ValueError on a bad value
        _ = self.worker_range  # raises ValueError on a bad value

    @property
    def tables(self) -> tuple[str, ...]:
        """All annotation tables, in their order."""
        return (self.annotations, *self.more_annotations)

    @property
    def dataset_weights(self) -> dict[str, float]:
        """Those that are given, by data set. Raises ValueError for what is no weight."""
        weights: dict[str, float] = {}
        for given in self.weights:
            name, _, text = given.rpartition("=")
            weight = float(text) if _NUMBER.fullmatch(text) else 0.0
            if not name or not 0 < weight <= MOST_COPIES:
                raise ValueError(
                    f"--weights {given}: expected DATASET=WEIGHT such as AVA=2, the weight more than 0 and at most"
                    f" {MOST_COPIES}; --datasets leaves whole data sets out"
                )
            if name in weights:
                raise ValueError(f"--weights {given}: {name} has a weight already")
            weights[name] = weight
        return weights

    @property
    def vision_rate(self) -> float:
        return self.learning_rate if self.vision_learning_rate is None else self.vision_learning_rate

    @property
    def projector_rate(self) -> float:
        return self.learning_rate if self.projector_learning_rate is None else self.projector_learning_rate

    @property
    def has_adapters(self) -> bool:
        """Whether the language model learns through adapters."""
        return self.language_model == "lora" and "language" in self.train

    @property
    def lora_alpha(self) -> int:
        return 2 * self.lora_rank

    @property
    def limits(self) -> DecodeLimits:
        return DecodeLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    def _expect(self, name: str, is_good: bool, what: str) -> None:
        if not is_good:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected {what}")
