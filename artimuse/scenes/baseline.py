"""What a linear model on thumbnails gets: a score that a model must beat to be said to see more than mean colours."""

# N pictures, D = 192 values of a thumbnail, A penalties
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.stats import pearsonr, spearmanr

from artimuse.interfaces import Annotation

THUMBNAIL_SIZE_PX = 8
_PENALTIES_A = np.logspace(-2, 4, 25)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Baseline:
    """How well the linear model's scores of the test pictures agree with the annotated ones."""

    srcc: float
    """Spearman's rank correlation, -1..1."""
    plcc: float
    """Pearson's correlation, -1..1."""
    num_train: int
    num_test: int


def linear_baseline(train: Iterable[Annotation], test: Iterable[Annotation]) -> Baseline:
    """Ridge regression from 8 x 8 RGB thumbnails to the score.

    Reads local files. Raises ValueError for a row without a score, or fewer than 3 rows to learn from or to test on.
    """
    train_ND, train_scores_N = _thumbnails_and_scores(train, "train")
    test_ND, test_scores_N = _thumbnails_and_scores(test, "test")
    mean_D, mean_score = train_ND.mean(axis=0), train_scores_N.mean()
    weights_D = _ridge(train_ND - mean_D, train_scores_N - mean_score)
    predicted_N = (test_ND - mean_D) @ weights_D + mean_score
    return Baseline(
        srcc=float(spearmanr(predicted_N, test_scores_N).statistic),
        plcc=float(pearsonr(predicted_N, test_scores_N).statistic),
        num_train=len(train_ND),
        num_test=len(test_ND),
    )


def _thumbnails_and_scores(annotations: Iterable[Annotation], name: str) -> tuple[Array, Array]:
    thumbnails, scores = [], []
    for found in annotations:
        if found.score is None:
            raise ValueError(f"{found.image_id}: no score; the baseline needs one for every picture")
        thumbnails.append(_thumbnail(found.uri))
        scores.append(found.score)
    if len(scores) < 3:
        raise ValueError(f"{len(scores)} pictures to {name} the baseline on: expected 3 or more")
    return np.stack(thumbnails), np.array(scores)


def _thumbnail(path: str) -> Array:
    with Image.open(path) as image:
        small = image.convert("RGB").resize((THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def _ridge(values_ND: Array, targets_N: Array) -> Array:
    """Weights (D,) for centred data, with the penalty that does best when each row in turn is left out."""
    left, singular, right = np.linalg.svd(values_ND, full_matrices=False)
    projected = left.T @ targets_N
    shrinkage_A = singular**2 / (singular**2 + _PENALTIES_A[:, None])
    residuals_AN = targets_N - (shrinkage_A * projected) @ left.T
    leverage_AN = shrinkage_A @ (left**2).T + 1 / len(targets_N)
    # Leaving a row out makes its residual larger by 1 / (1 - leverage): no refitting is needed.
    errors_A = ((residuals_AN / np.maximum(1 - leverage_AN, 1e-9)) ** 2).mean(axis=1)
    penalty = _PENALTIES_A[errors_A.argmin()]
    weights_D: Array = right.T @ (singular / (singular**2 + penalty) * projected)
    return weights_D
