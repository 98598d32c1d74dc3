"""How well a model does on scenes: its scores against the annotated ones, its sentences against what is to be seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artimuse.scenes.parameters import Scene
from artimuse.scenes.score import annotated_score
from artimuse.scenes.sentences import TOPICS, named_class, true_class
from artimuse.scoring.metrics import correlations


@dataclass(frozen=True, slots=True)
class Sentences:
    """How good the sentences on one attribute are."""

    right: float
    """Share of the sentences that name the right class, and no other."""
    majority: float
    """What naming the most frequent class every time would get."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good one model is on scenes that it has not seen."""

    num_scenes: int
    num_scored: int
    """The number of scenes with a score: an answer that is no number has none."""
    num_described: int
    """The number of scenes with sentences."""
    srcc: float | None
    """Spearman's rank correlation of the scores, -1..1; None as in `metrics.correlations`."""
    plcc: float | None
    """Pearson's, likewise."""
    sentences: Mapping[str, Sentences]
    """The sentences by attribute; empty without sentences."""

    @property
    def share_right(self) -> float | None:
        """Over all attributes; None without sentences."""
        return _mean([found.right for found in self.sentences.values()])

    @property
    def share_majority(self) -> float | None:
        """Over all attributes; None without sentences."""
        return _mean([found.majority for found in self.sentences.values()])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"share_right": self.share_right, "share_majority": self.share_majority}


def evaluate(scenes: Sequence[Scene], rows: Sequence[Mapping[str, Any]]) -> Evaluation:
    """`rows` of the score table are of these scenes, in their order; sentences are judged where there are any."""
    scores = np.array([row["score"] for row in rows], dtype=np.float64)
    is_scored = ~np.isnan(scores)
    annotated = np.array([annotated_score(scene) for scene in scenes])[is_scored]
    srcc, plcc = correlations(scores[is_scored].tolist(), annotated.tolist())
    described = [(scene, row) for scene, row in zip(scenes, rows) if row["texts_truncated"] is not None]
    return Evaluation(
        len(scenes),
        len(annotated),
        len(described),
        srcc,
        plcc,
        {slug: _sentences(slug, described) for slug in TOPICS} if described else {},
    )


def _mean(shares: Sequence[float]) -> float | None:
    return float(np.mean(shares)) if shares else None


def _sentences(slug: str, described: Sequence[tuple[Scene, Mapping[str, Any]]]) -> Sentences:
    true = [true_class(slug, scene) for scene, _ in described]
    right = np.mean([named_class(slug, row[slug]) == name for (_, row), name in zip(described, true)])
    [(_, most)] = Counter(true).most_common(1)
    return Sentences(float(right), most / len(true))
