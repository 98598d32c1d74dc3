"""The text columns of a batch: asking for them, and keeping why an image has none."""

# B images
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from artimuse.attributes import ATTRIBUTES
from artimuse.interfaces import BoolArray, Images, Text
from artimuse.pipelines.rows.job import TEXT_PROBLEM, TextJob


class TextColumns:
    """Texts of a batch of rows, filled in as images are described."""

    def __init__(self, num_rows: int) -> None:
        self.answers: list[Sequence[Text] | None] = [None] * num_rows
        self.problems: list[str | None] = [None] * num_rows
        """A code for each image that should have texts and has none."""

    def ask(self, job: TextJob, images: Images, is_wanted_B: BoolArray, indices: Sequence[int]) -> None:
        """Describes the wanted images; `indices` are the positions of all of them in the batch."""
        if is_wanted_B.any():
            answers = images.generate(job.questions, rows=is_wanted_B, max_new_tokens=job.max_new_tokens)
            for index, texts in zip(np.asarray(indices)[is_wanted_B], answers):
                self.answers[index], self.problems[index] = texts, None

    def fail(self, index: int, problem: str) -> None:
        self.problems[index] = problem

    def add_to(self, table: pa.Table, job: TextJob | None) -> pa.Table:
        """The score-table rows with their texts, and the problems in a column behind them.

        What the rows have already stays, unless it is replaced.
        """
        if job is not None:
            slugs = [attribute.slug for attribute in ATTRIBUTES if attribute.slug in job.attributes]
            for i, slug in enumerate(slugs):
                table = self._replaced(table, slug, [texts and texts[i].text for texts in self.answers])
            counts = [None if texts is None else sum(text.truncated for text in texts) for texts in self.answers]
            table = self._replaced(table, "texts_truncated", counts)
        return table.append_column(TEXT_PROBLEM, pa.array(self.problems, pa.string()))

    def _replaced(self, table: pa.Table, name: str, values: Sequence[object]) -> pa.Table:
        index, field = table.schema.get_field_index(name), table.schema.field(name)
        there = table[name].to_pylist()
        merged = [old if value is None else value for old, value in zip(there, values)]
        return table.set_column(index, field, pa.array(merged, field.type))
