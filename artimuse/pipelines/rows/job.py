"""What every stage of a scoring run knows, and the columns that exist between stages only."""

from dataclasses import dataclass

import pyarrow as pa

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.errors import ClusterProblem, RowError
from artimuse.io.fetch import fetch
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES
from artimuse.table.schema import score_schema

# Not in the score table; `RowWriter` turns all but the pixels into receipts. The prefix keeps them apart from the
# manifest's own columns, which may well be called `worker` or `pixels`.
PIXELS = "artimuse:pixels"
BEGAN_AT = "artimuse:began_at"
FETCH_S = "artimuse:fetch_s"
DECODE_S = "artimuse:decode_s"
SCORE_S = "artimuse:score_s"
WORKER = "artimuse:worker"
TEXT_PROBLEM = "artimuse:text_problem"


@dataclass(frozen=True, kw_only=True, slots=True)
class TextJob:
    """Which images are described, and how."""

    attributes: tuple[str, ...]
    """The slugs of the attributes."""
    where: str
    """A condition of DuckDB's SQL on a row of the score table."""
    max_new_tokens: int

    @property
    def questions(self) -> list[str]:
        return [attribute_question(attribute) for attribute in ATTRIBUTES if attribute.slug in self.attributes]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """Everything a worker needs to know of a run."""

    output: Folder
    rows_per_shard: int
    engine: EngineConfig
    strategy: str
    limits: DecodeLimits
    texts: TextJob | None = None
    rows_exist: bool = False
    """True to describe rows that are in the table, with their scores; False to score, and describe, new ones."""
    with_metadata: bool = False
    """True to read what generators wrote into their images."""
    passthrough: pa.Schema
    witnesses: tuple[Location, ...]
    """Images that the driver could read: a node that can read none of them lacks INPUT."""

    @property
    def schema(self) -> pa.Schema:
        return score_schema(STRATEGIES[self.strategy].values_K, self.passthrough, with_metadata=self.with_metadata)


def refuse_blind_node(job: ScoreJob) -> None:
    """Raises ClusterProblem if none of the images that the driver could read can be read here."""
    errors = [fetch(witness, job.limits) for witness in job.witnesses]
    if errors and all(isinstance(error, RowError) for error in errors):
        raise ClusterProblem(f"INPUT is not visible here: cannot read {job.witnesses[0].uri}")
