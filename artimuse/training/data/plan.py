"""The examples of a run, fixed when it is begun: written into OUTPUT from the rows that are selected."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from artimuse.configs.train import TrainConfig
from artimuse.datasets.table import NoSuchSplit
from artimuse.interfaces import Tokenizer
from artimuse.io.folder import Folder
from artimuse.model.load import CheckpointSpec
from artimuse.scoring import STRATEGIES
from artimuse.training.data.examples import TRAIN_EXAMPLES, VALIDATION_EXAMPLES, ExampleMaker, write_examples
from artimuse.training.data.selection import Selection

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleCounts:
    """How much there is to learn from, as train.json keeps it."""

    num_examples: int
    num_validation_examples: int
    num_images: int
    """The number of images that are trained on."""
    num_images_by_dataset: Mapping[str, int]


def write_plan(config: TrainConfig, spec: CheckpointSpec, output: Folder) -> ExampleCounts:
    """Writes the examples of both splits into OUTPUT.

    Raises BadInput for a table that is wrong, that has nothing of what was asked for, or that has too long texts;
    BadCheckpoint if the base's vocabulary lacks the answers.
    """
    strategy = STRATEGIES[config.strategy]
    tokenizer = cast(Tokenizer, spec.tokenizer)
    if config.targets in ("scores", "both"):
        strategy.check(tokenizer)
    maker = ExampleMaker(tokenizer, spec.template, strategy, config.targets, max_tokens=config.max_sequence_length)
    selected = Selection(config)
    with output.writing(TRAIN_EXAMPLES) as path:
        num_train = write_examples(path, maker.examples(selected.to_train_on()))
    selected.refuse_nothing(num_train)
    selected.warn_of_another_scale()
    num_validation = 0
    try:
        with output.writing(VALIDATION_EXAMPLES) as path:
            num_validation = write_examples(path, maker.examples(selected.to_validate_on()))
    except NoSuchSplit as error:
        logger.warning("no validation: %s", error)
    selected.tell_missing()
    return ExampleCounts(
        num_examples=num_train,
        num_validation_examples=num_validation,
        num_images=selected.num_images,
        num_images_by_dataset=dict(selected.by_dataset),
    )
