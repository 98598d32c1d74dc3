"""What a base has met before the paper's stages: captions that are true, and how people answer and list, which is not.

A published base knows the words, follows a question's form and has read the alphabet. A network with random weights
is given as much here: beside each picture's caption, attribute questions with sentences about other pictures, score
questions with scores out of the air, and lists of answer tokens in which neighbours are alike. None of these says
anything about the picture that it comes with.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.interfaces import ScoreStrategy
from artimuse.prompts import LIST_QUESTION, attribute_question
from artimuse.scoring import STRATEGIES

LISTED = ("ordered_100", "existing_50", "existing_25", "levels_5", "score_as_text")
"""Strategies whose answers have an order that is older than this project; `unordered_100` has none."""
ONE_IN = 12
"""So many scenes to each that is asked about a second time, by a question of each sort."""
LIST_LENGTH = 48
"""Entries, and a third as many where an entry is a number of several tokens: the longest row is what a step takes."""
LIST_STEP = 5.0
"""Standard deviation of the step from one entry of a list to the next, in points."""

_SPACE = "Ġ"

Row = dict[str, Any]


def write_language(scenes: str | Path, folder: str | Path) -> Path:
    """Writes tables for `--targets answers` from those that `write_scenes` wrote; returns the folder.

    One row in `ONE_IN` is followed by another about its picture, with an attribute's question; one with a score's, one
    with a list's.
    """
    scenes, folder = Path(scenes).absolute(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(scenes.glob("*.parquet")):
        seen = [{**row, "uri": str(scenes / row["uri"])} for row in pq.read_table(path).to_pylist()]
        rows = list(_asked_again(seen, np.random.RandomState(0)))
        pq.write_table(pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA), folder / path.name)
    return folder


def _asked_again(seen: list[Row], random: np.random.RandomState) -> Iterator[Row]:
    """All rows, some of them with another right behind, so that a picture is read once for both."""
    form = list(_form(seen, random))
    second = dict(zip(random.permutation(len(seen)).tolist(), form))
    for i, row in enumerate(seen):
        yield row
        if i in second:
            yield {**row, **second[i]}


def _form(seen: list[Row], random: np.random.RandomState) -> Iterator[Row]:
    """Questions and answers."""
    asked = [strategy for strategy in STRATEGIES.values() if not strategy.new_tokens]
    for i in range(len(seen) // ONE_IN):
        attribute = ATTRIBUTES[i % len(ATTRIBUTES)]
        other = seen[random.randint(len(seen))]
        yield {"question": attribute_question(attribute), "answer": other[attribute.slug]}
        strategy = asked[i % len(asked)]
        if answer := _written(strategy, random.uniform(0, 100)):
            yield {"question": strategy.question, "answer": answer}
        yield {"question": LIST_QUESTION, "answer": _list(STRATEGIES[LISTED[i % len(LISTED)]], random)}


def _list(strategy: ScoreStrategy, random: np.random.RandomState) -> str:
    points = random.uniform(0, 100)
    entries = []
    for _ in range(LIST_LENGTH if strategy.candidates else LIST_LENGTH // 3):
        entries.append(_written(strategy, points))
        points = float(np.clip(points + random.normal(0, LIST_STEP), 0, 100))
    return ",".join(entries)


def _written(strategy: ScoreStrategy, points: float) -> str:
    """The answer as text; empty for a token that is no text (some of the unordered ones are single bytes)."""
    answer = strategy.answer(points).replace(_SPACE, " ")
    return answer if answer.isascii() else ""
