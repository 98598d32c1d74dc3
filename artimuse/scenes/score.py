"""How good a scene is, 0 to 100: what is true of it by definition, and what a few annotators make of that."""

import math
from collections.abc import Mapping

import numpy as np

from artimuse.scenes.parameters import Scene, Stream

NUM_ANNOTATORS = 10
ANNOTATOR_STD = 15.0
"""Standard deviation of one annotator's error, in points."""
WEIGHTS: Mapping[str, float] = {
    "placement": 0.10,
    "clutter": 0.20,
    "focus": 0.20,
    "light": 0.20,
    "harmony": 0.20,
    "impact": 0.20,
}

# Of the weighted sum of the merits, over 100,000 scenes.
_SUM_MEAN = 0.564
_SUM_STD = 0.163


def merits(scene: Scene) -> dict[str, float]:
    """What each parameter is worth, 0..1, whatever the others are. The keys are those of `WEIGHTS`."""
    return {
        "placement": max(0.0, 1 - scene.off_third / 0.16),
        "clutter": _between(scene.num_distractors, {0: 1, 3: 0.7, 7: 0.35, 15: 0}),
        "focus": _between(scene.blur, {0: 1, 0.0045: 0.7, 0.009: 0.35, 0.0155: 0}),
        "light": _between(scene.exposure_stops, {-1.6: 0, -0.8: 0.4, 0: 1, 0.65: 0.8}),
        "harmony": _between(abs(scene.hue_step_deg), {0: 0, 180: 1}),
        "impact": _between(scene.contrast, {0.13: 0, 0.40: 1}),
    }


def true_score(scene: Scene) -> float:
    """Points without noise, 0..100; about as many scenes at any score as at any other."""
    worth = merits(scene)
    weighted = sum(weight * worth[name] for name, weight in WEIGHTS.items())
    # A sum of independent parts is nearly normal, so that its distribution function spreads it over the range.
    return 50 * (1 + math.erf((weighted - _SUM_MEAN) / _SUM_STD / math.sqrt(2)))


def annotated_score(scene: Scene) -> float:
    """Points, 0..100: the mean over annotators, each of whom gives a whole number."""
    errors = scene.random(Stream.ANNOTATORS).normal(0, ANNOTATOR_STD, NUM_ANNOTATORS)
    return float(np.rint(np.clip(true_score(scene) + errors, 0, 100)).mean())


def _between(value: float, worth: Mapping[float, float]) -> float:
    return float(np.interp(value, list(worth), list(worth.values())))
