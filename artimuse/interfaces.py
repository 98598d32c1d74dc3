"""The seams of the system: Source, Engine, ScoreStrategy and DatasetReader.

A new engine, strategy or reader is one new file and one line in the dictionary of its package (`engines.ENGINES`,
`scoring.STRATEGIES`, `datasets.READERS`); the contract tests run over those dictionaries. A new kind of INPUT is one
new file and a case in `sources.open.open_source`.
"""

# B images, H and W pixels, C = 3 channels, K candidate tokens
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = npt.NDArray[np.float32]
PixelArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

Capability = Literal["logits", "texts"]
AnnotationKind = Literal["score", "partial_text", "expert"]


class Source(Protocol):
    """A collection of images. Only `batches` reads more than a header (JSON lines are read to learn their types)."""

    @property
    def passthrough(self) -> "pa.Schema":
        """The collection's own columns, under the names the score table stores them."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> number of files passed over; known after `batches` has ended."""
        ...

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Rows of image_id, uri, for images inside containers their location, and the passthrough columns.

        In bounded memory, the same in every call.

        Raises BadInput if the collection is empty or malformed.
        """
        ...


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that strategies and prompts use."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int | None]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """One generated answer."""

    text: str
    truncated: bool
    """True if it ended at the token limit instead of at the end-of-turn token."""
    token_ids: tuple[int, ...] = ()
    """The tokens as generated, with the end-of-turn token; empty if the engine does not tell."""


class Images(Protocol):
    """Images that an engine has encoded, open for questions."""

    def __len__(self) -> int: ...

    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        """Logits of the candidate tokens as the first answer token: float32 (B, K), up to a constant per row."""
        ...

    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        """Greedy answers for the images selected by `rows` (B,): one list per image, one text per question."""
        ...


class Engine(Protocol):
    """Runs the network. Knows nothing of scores, data sets or Ray."""

    capabilities: frozenset[Capability]
    """What `Images` of this engine can answer: `logits`, `texts` or both."""
    max_candidates: int | None
    """The most candidates that `Images.logits` takes; None: any number."""
    tokenizer: Tokenizer | None
    """None if the engine takes any string as a candidate (the fake) or has no logits at all."""

    def open(self, pixels_BHWC: PixelArray) -> AbstractContextManager[Images]:
        """Encodes uint8 RGB images of `images.decode.IMAGE_SIZE_PX` squared once, for all questions asked inside."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """Scores of B images with the distribution they are the mean of."""

    mean_B: FloatArray
    """Points, 0..100, higher is better."""
    std_B: FloatArray
    """Standard deviation, in points."""
    entropy_B: FloatArray
    """Nats, 0..ln K."""
    probs_BK: FloatArray | None
    """Rows sum to 1, over the strategy's `values_K`; None for an answer that is read as text."""
    problems_B: tuple[str | None, ...] | None = None
    """Why an image has no score, its mean being NaN; None if the answer cannot be misunderstood."""


class ScoreStrategy(Protocol):
    """How a model's answer becomes a score. Knows images as something to ask, and no engine."""

    @property
    def name(self) -> str: ...

    @property
    def question(self) -> str: ...

    @property
    def needs(self) -> Capability:
        """What the engine must be able to answer."""
        ...

    @property
    def candidates(self) -> tuple[str, ...]:
        """Answer tokens as the vocabulary spells them, one per value; none for an answer that is read as text."""
        ...

    @property
    def values_K(self) -> FloatArray:
        """The score each candidate stands for, 0..100."""
        ...

    @property
    def new_tokens(self) -> tuple[str, ...]:
        """Tokens that training must add to the vocabulary; empty for strategies on existing tokens."""
        ...

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises BadCheckpoint unless every candidate is one distinct token of this vocabulary."""
        ...

    def ask(self, images: Images) -> ScoreDistribution:
        """Puts the question to all images."""
        ...

    def answer(self, score: float) -> str:
        """The training target for a score of 0..100."""
        ...


@dataclass(frozen=True, slots=True)
class Annotation:
    """One labelled image, as training and evaluation read it."""

    image_id: str
    uri: str
    dataset: str
    split: str
    kind: AnnotationKind
    """The paper's data types 1 (score), 2 (partial text) and 3 (expert), section 4.1."""
    score: float | None = None
    """Points, 0..100, already normalised from the reader's `score_range`."""
    evidence: str | None = None
    """What the annotator prompt quotes: comments or partial captions."""
    question: str | None = None
    """Any other question about the image: for abilities that are to be taught, or kept."""
    answer: str | None = None
    """Its answer, null if there is no question."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Attribute slug -> text."""
    analyst: str | None = None
    """Who wrote the texts: `human`, or a model's name."""


class DatasetReader(Protocol):
    """Reads one public data set's own files."""

    score_range: tuple[float, float]
    """Lowest and highest raw score the data set can give."""

    def read(self, root: str, split: str) -> Iterator[Annotation]:
        """Annotations of one split, in file order. Raises BadInput naming the file and line that is wrong."""
        ...
