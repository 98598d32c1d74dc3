"""The linear model on thumbnails: finds what is linear, and little in the scenes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artimuse.datasets.table import TableReader
from artimuse.interfaces import Annotation
from artimuse.scenes.baseline import linear_baseline
from artimuse.scenes.table import write_scenes


def grey_pictures(folder: Path, levels: list[int]) -> list[Annotation]:
    """Pictures that are scored by their brightness."""
    annotations = []
    for level in levels:
        path = folder / f"{level}.png"
        Image.new("RGB", (20, 10), (level, level, level)).save(path)
        annotations.append(Annotation(str(level), str(path), "grey", "train", "score", score=level / 2.55))
    return annotations


def test_a_score_that_is_linear_in_the_pixels_is_found(tmp_path: Path):
    found = linear_baseline(grey_pictures(tmp_path, [0, 50, 90, 200, 255]), grey_pictures(tmp_path, [10, 120, 240]))
    assert (found.srcc, found.plcc) == pytest.approx((1, 1))
    assert (found.num_train, found.num_test) == (5, 3)


def test_the_penalty_keeps_noise_from_being_learned(tmp_path: Path):
    random = np.random.default_rng(0)
    annotations = []
    for i in range(300):
        path = tmp_path / f"{i}.png"
        noise = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        score = float(noise[0, 0, 0]) / 2.55 * 0.8 + random.uniform(0, 20)
        annotations.append(Annotation(str(i), str(path), "noise", "train", "score", score=score))
    # Without a penalty, 192 weights from 200 rows give 0.15.
    assert linear_baseline(annotations[:200], annotations[200:]).srcc > 0.6


def test_scenes_are_hard_for_it(tmp_path: Path):
    root = str(write_scenes(tmp_path, sizes={"train": 1000, "test": 400}))
    found = linear_baseline(TableReader().read(root, "train"), TableReader().read(root, "test"))
    assert 0.4 < found.srcc < 0.65
    assert 0.4 < found.plcc < 0.65
    assert (found.num_train, found.num_test) == (1000, 400)


def test_a_picture_without_a_score_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="x: no score"):
        linear_baseline([Annotation("x", "x.jpg", "mine", "train", "partial_text")], [])


def test_too_few_pictures_are_refused(tmp_path: Path):
    three = grey_pictures(tmp_path, [1, 2, 3])
    with pytest.raises(ValueError, match="2 pictures to train the baseline on: expected 3 or more"):
        linear_baseline(three[:2], three)
    with pytest.raises(ValueError, match="0 pictures to test the baseline on"):
        linear_baseline(three, [])
