"""What is trained on: one question with its answer per row, fixed by the first run of an OUTPUT.

The plan is an Arrow file that workers map into memory, so that its size costs them nothing and a row is read by number.
"""

# E examples

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.train import Targets
from artimuse.engines.answers import STOP_TOKEN
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation, ScoreStrategy, Tokenizer
from artimuse.model.template import SPECIAL_TOKENS, ChatTemplate
from artimuse.prompts import attribute_question
from artimuse.training.data.sampler import IntArray

EXAMPLE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answer_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("score", pa.float32()),
    ]
)
_BATCH_ROWS = 4096
_CONTROL_TOKENS = (*SPECIAL_TOKENS, "<|endoftext|>")
TRAIN_EXAMPLES = "examples/train.arrow"
VALIDATION_EXAMPLES = "examples/validation.arrow"
"""Where the examples are in OUTPUT."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image, one question, one answer."""

    image_id: str
    uri: str
    question: str
    answer_ids: Sequence[int]
    """Tokens of the answer and the one that ends the turn: all that the loss is on."""
    score: float | None
    """Points, 0..100, if the answer is one: validation compares predictions with it."""


class Examples:
    """The rows of a plan, by number."""

    def __init__(self, path: Path) -> None:
        with pa.memory_map(str(path)) as file:
            self._table = pa.ipc.open_file(file).read_all()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, number: int) -> Example:
        [row] = self._table.slice(number, 1).to_pylist()
        return Example(**row)

    def lengths(self, prompt_ids: Callable[[str], Sequence[int]]) -> IntArray:
        """Tokens of each example; `prompt_ids` are those of the whole prompt of a question."""
        lengths = []
        for batch in self._table.to_batches():
            questions = batch.column("question").dictionary_encode()
            of_prompts = np.array([len(prompt_ids(question)) for question in questions.dictionary.to_pylist()])
            of_answers = pc.list_value_length(batch.column("answer_ids")).to_numpy()
            lengths.append(of_prompts[questions.indices.to_numpy()] + of_answers)
        lengths_E: IntArray = np.concatenate(lengths)
        return lengths_E

    def group_starts(self, size: int) -> IntArray:
        """Numbers of the examples that groups begin with: up to `size` neighbours about the same image."""
        uris = self._table.column("uri")
        numbers = np.arange(len(self))
        is_new = np.concatenate([[True], pc.not_equal(uris[1:], uris[:-1]).to_numpy()])
        in_image = numbers - np.maximum.accumulate(np.where(is_new, numbers, 0))
        return np.flatnonzero(in_image % size == 0)


class ExampleMaker:
    """Makes examples of annotations."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        strategy: ScoreStrategy,
        targets: Targets,
        *,
        max_tokens: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.strategy = strategy
        self.targets = targets
        self.max_tokens = max_tokens
        [self._stop_id] = tokenizer.encode(STOP_TOKEN, add_special_tokens=False)
        # Questions come again and again: the number of tokens of each one's prompt.
        self._num_prompt_tokens: dict[str, int] = {}

    def examples(self, annotations: Iterable[Annotation]) -> Iterator[Example]:
        """One for each attribute text, then one for the score, or one for its own question: what is there.

        Raises BadInput, naming the image, for a text that is too long for the network or has a token of the prompt's
        own in it: one that ends the turn would end the lesson.
        """
        for annotation in annotations:
            if self.targets == "answers" and annotation.question and annotation.answer:
                self._refuse_control_tokens(annotation, annotation.question, annotation.answer)
                yield self._example(annotation, annotation.question, self._encode(annotation.answer))
            if self.targets in ("texts", "both"):
                for attribute in ATTRIBUTES:
                    if text := annotation.texts.get(attribute.slug, "").strip():
                        self._refuse_control_tokens(annotation, text)
                        yield self._example(annotation, attribute_question(attribute), self._encode(text))
            if self.targets in ("scores", "both") and annotation.score is not None:
                yield self._example(
                    annotation, self.strategy.question, self._score_ids(annotation.score), annotation.score
                )

    def _example(
        self, annotation: Annotation, question: str, answer_ids: list[int], score: float | None = None
    ) -> Example:
        answer_ids = [*answer_ids, self._stop_id]
        if question not in self._num_prompt_tokens:
            self._num_prompt_tokens[question] = len(self.template.token_ids(self.tokenizer, question))
        num_tokens = self._num_prompt_tokens[question] + len(answer_ids)
        if num_tokens > self.max_tokens:
            raise BadInput(
                f"image {annotation.image_id!r}: prompt and answer are {num_tokens} tokens,"
                f" --max-sequence-length is {self.max_tokens}; shorten the text or raise the limit"
            )
        return Example(annotation.image_id, annotation.uri, question, answer_ids, score)

    def _refuse_control_tokens(self, annotation: Annotation, *texts: str) -> None:
        for token in _CONTROL_TOKENS:
            if any(token in text for text in texts):
                raise BadInput(f"image {annotation.image_id!r}: question or text has {token} in it; leave it out")

    def _score_ids(self, score: float) -> list[int]:
        answer = self.strategy.answer(score)
        if not self.strategy.candidates:
            return self._encode(answer)
        # Candidates are spelled as the vocabulary spells them, which need not be text.
        return cast(list[int], self.tokenizer.convert_tokens_to_ids([answer]))

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Writes them in bounded memory; returns how many."""
    examples = iter(examples)
    num_examples = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, EXAMPLE_SCHEMA) as writer:
        while batch := list(islice(examples, _BATCH_ROWS)):
            columns: dict[str, Any] = {
                name: [getattr(example, name) for example in batch] for name in EXAMPLE_SCHEMA.names
            }
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=EXAMPLE_SCHEMA))
            num_examples += len(batch)
    return num_examples
