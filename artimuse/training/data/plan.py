"""Which rows of the annotation table a run is about, and the plan that is made of them."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from artimuse.configs.train import TrainConfig
from artimuse.datasets.table import NoSuchSplit, TableReader
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation, Tokenizer
from artimuse.io.folder import Folder
from artimuse.io.location import local_path
from artimuse.model.load import CheckpointSpec
from artimuse.scoring import STRATEGIES
from artimuse.training.bad_images import named
from artimuse.training.data.examples import TRAIN_EXAMPLES, VALIDATION_EXAMPLES, ExampleMaker, write_examples

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleCounts:
    """How much there is to learn from, as train.json keeps it."""

    num_examples: int
    num_validation_examples: int
    num_images: int
    """The number of images in the training split."""
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
    selected = _Selection(config)
    with output.writing(TRAIN_EXAMPLES) as path:
        num_train = write_examples(path, maker.examples(selected.annotations(config.split)))
    selected.refuse_nothing(num_train)
    selected.warn_of_another_scale()
    num_validation = 0
    try:
        with output.writing(VALIDATION_EXAMPLES) as path:
            num_validation = write_examples(path, maker.examples(selected.annotations(config.validation_split)))
    except NoSuchSplit as error:
        logger.warning("no validation: %s", error)
    selected.tell_missing()
    return ExampleCounts(
        num_examples=num_train,
        num_validation_examples=num_validation,
        num_images=selected.num_images[config.split],
        num_images_by_dataset=dict(selected.by_dataset),
    )


class _Selection:
    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.num_images: Counter[str] = Counter()
        self.by_dataset: Counter[str] = Counter()
        """The number of images of each data set in the training split."""
        self._highest = 0.0
        """The highest score of the training split, in points."""
        self._found: Counter[tuple[str, str]] = Counter()
        """Rows of the training split by data set and kind, before any filter."""
        self._missing: dict[str, str] = {}
        """Paths of images that are not there, with an image id of each."""
        self._is_any_there = False

    def annotations(self, split: str) -> Iterator[Annotation]:
        for annotation in TableReader().read(self.config.annotations, split):
            is_train = split == self.config.split
            if is_train:
                self._found[annotation.dataset, annotation.kind] += 1
            if self.config.datasets and annotation.dataset not in self.config.datasets:
                continue
            if annotation.kind in self.config.kinds:
                self.num_images[split] += 1
                self.by_dataset[annotation.dataset] += is_train
                if is_train and annotation.score is not None:
                    self._highest = max(self._highest, annotation.score)
                self._look_for(annotation)
                yield annotation

    def _look_for(self, annotation: Annotation) -> None:
        """Of URLs nothing is known before they are fetched."""
        path = local_path(annotation.uri)
        if path is None or Path(path).exists():
            self._is_any_there = True
        else:
            self._missing[path] = annotation.image_id

    def tell_missing(self) -> None:
        """Raises BadInput if images are not there and --bad-images is stop, or if none is; else warns of them."""
        if not self._missing:
            return
        missing = named({image_id: path for path, image_id in self._missing.items()}, len(self._missing))
        found = f"{self.config.annotations}: images that are not there: {len(self._missing):,}: {missing}"
        if not self._is_any_there:
            raise BadInput(f"{found}; that is all of them: a relative uri is below the folder of the table")
        if self.config.bad_images == "stop":
            raise BadInput(f"{found}; put them there, or leave them out with --bad-images skip")
        logger.warning("%s; they are left out (--bad-images stop would refuse them)", found)

    def warn_of_another_scale(self) -> None:
        """Nothing is wrong with low scores, but many public ones are from 0 to 10 or to 1."""
        for top in (1, 10):
            if 0 < self._highest <= top and self.config.targets in ("scores", "both"):
                logger.warning(
                    "the highest score is %g of 100: multiply scores by %d if they are on a scale from 0 to %d",
                    self._highest,
                    100 // top,
                    top,
                )
                return

    def refuse_nothing(self, num_examples: int) -> None:
        """Raises BadInput, saying what the table has, for data sets that are not there and if no example is left."""
        found = ", ".join(f"{dataset} ({kind}): {count}" for (dataset, kind), count in self._found.items())
        known = {dataset for dataset, _ in self._found}
        searched = f"{self.config.annotations}, split {self.config.split!r}"
        if missing := [name for name in self.config.datasets if name not in known]:
            raise BadInput(f"{searched}: no data set {', '.join(missing)}; rows found: {found}")
        if not num_examples:
            raise BadInput(
                f"{searched}: nothing to learn {self.config.targets} from with --kinds {' '.join(self.config.kinds)};"
                f" rows found: {found}"
            )
