"""Which rows of the annotation tables a run is about, and what is said of them before it begins."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from artimuse.configs.train import TrainConfig
from artimuse.datasets.table import NoSuchSplit, TableReader
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation
from artimuse.io.location import local_path
from artimuse.training.bad_images import named

logger = logging.getLogger(__name__)


class Selection:
    """The rows of a configuration, and what was seen of them."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.num_images = 0
        """The number of images to train on."""
        self.by_dataset: Counter[str] = Counter()
        """The same for each data set."""
        self._highest = 0.0
        """The highest score to train on, in points."""
        self._found: Counter[tuple[str, str]] = Counter()
        """Rows of the training split by data set and kind, before any filter."""
        self._missing: dict[str, str] = {}
        """Paths of images that are not there, with an image id of each."""
        self._is_any_there = False
        self._used: set[str] = set()
        """Tables with rows of a split that was asked for."""

    def to_train_on(self) -> Iterator[Annotation]:
        """An epoch: the rows of data sets with a greater weight come again, in another pass over the tables."""
        weights = self.config.dataset_weights
        for number in range(math.ceil(max([1.0, *weights.values()]))):
            for annotation in self._rows(self.config.split):
                if number == 0:
                    self._found[annotation.dataset, annotation.kind] += 1
                weight = weights.get(annotation.dataset, 1.0)
                if self._is_chosen(annotation) and number < _num_copies(annotation, weight, self.config.seed):
                    if number == 0:
                        self._count(annotation)
                    yield annotation

    def to_validate_on(self) -> Iterator[Annotation]:
        """Each row once, whatever the weights."""
        for annotation in self._rows(self.config.validation_split):
            if self._is_chosen(annotation):
                self._look_for(annotation)
                yield annotation

    def _rows(self, split: str) -> Iterator[Annotation]:
        """Raises NoSuchSplit if no table has any."""
        complaints = []
        for table in self.config.tables:
            try:
                for annotation in TableReader().read(table, split):
                    self._used.add(table)
                    yield annotation
            except NoSuchSplit as error:
                complaints.append(str(error))
        if len(complaints) == len(self.config.tables):
            raise NoSuchSplit("; ".join(complaints))

    def _is_chosen(self, annotation: Annotation) -> bool:
        is_of_dataset = not self.config.datasets or annotation.dataset in self.config.datasets
        return is_of_dataset and annotation.kind in self.config.kinds

    def _count(self, annotation: Annotation) -> None:
        self.num_images += 1
        self.by_dataset[annotation.dataset] += 1
        self._highest = max(self._highest, annotation.score or 0.0)
        self._look_for(annotation)

    def _look_for(self, annotation: Annotation) -> None:
        """Of URLs nothing is known before they are fetched."""
        path = local_path(annotation.uri)
        if path is None or Path(path).exists():
            self._is_any_there = True
        else:
            self._missing[path] = annotation.image_id

    def tell_missing(self) -> None:
        """Raises BadInput if images are not there and --bad-images is stop, or if none is; else warns of them.

        Warns also of tables without a row of any split that was asked for.
        """
        for table in self.config.tables:
            if table not in self._used:
                splits = f"{self.config.split!r} or {self.config.validation_split!r}"
                logger.warning("%s: no row of split %s; nothing of it is used", table, splits)
        if not self._missing:
            return
        missing = named({image_id: path for path, image_id in self._missing.items()}, len(self._missing))
        found = f"{', '.join(self.config.tables)}: images that are not there: {len(self._missing):,}: {missing}"
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
        """Raises BadInput, saying what the tables have, for data sets that are not there and if no example is left."""
        found = ", ".join(f"{dataset} ({kind}): {count}" for (dataset, kind), count in self._found.items())
        known = {dataset for dataset, _ in self._found}
        searched = f"{', '.join(self.config.tables)}, split {self.config.split!r}"
        asked = dict.fromkeys([*self.config.datasets, *self.config.dataset_weights])
        if missing := [name for name in asked if name not in known]:
            raise BadInput(f"{searched}: no data set {', '.join(missing)}; rows found: {found}")
        if not num_examples:
            raise BadInput(
                f"{searched}: nothing to learn {self.config.targets} from with --kinds {' '.join(self.config.kinds)};"
                f" rows found: {found}"
            )


def _num_copies(annotation: Annotation, weight: float, seed: int) -> int:
    """How often a row comes in an epoch. Of a weight of 1.5 all come once, and half, always the same, a second time."""
    name = f"{seed} {annotation.dataset} {annotation.image_id}"
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return math.floor(weight) + (place < weight % 1)
