"""Pictures: the same for a scene always, and showing what the scene says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artimuse.scenes.draw import PICTURE_SIZE_PX, draw_picture, save_picture
from artimuse.scenes.parameters import PATTERNS, SHAPES, Scene, choose_scene


def pixels(scene: Scene) -> np.ndarray:
    return np.asarray(draw_picture(scene), dtype=np.float64)


def plain_scene(**parameters: object) -> Scene:
    """Sharp, well lit, of high contrast, and without distractors, unless told otherwise."""
    usual = {"x": 1 / 3, "y": 1 / 3, "blur": 0.0, "exposure_stops": 0.0, "contrast": 0.4, "num_distractors": 0}
    return replace(choose_scene(5), **{**usual, **parameters})


def test_a_picture_is_square_and_in_colour():
    picture = draw_picture(choose_scene(0))
    assert (picture.size, picture.mode) == ((PICTURE_SIZE_PX, PICTURE_SIZE_PX), "RGB")


def test_a_scene_gives_the_same_picture_always():
    assert (pixels(choose_scene(11, seed=2)) == pixels(choose_scene(11, seed=2))).all()


def test_no_two_of_many_scenes_look_the_same():
    digests = {hashlib.sha256(draw_picture(choose_scene(number)).tobytes()).digest() for number in range(50)}
    assert len(digests) == 50


def test_a_saved_picture_keeps_its_colours(tmp_path: Path):
    scene = choose_scene(3)
    save_picture(scene, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as saved:
        assert saved.format == "JPEG"
        assert np.abs(np.asarray(saved, dtype=np.float64) - pixels(scene)).mean() < 3


def test_the_subject_is_where_the_scene_says():
    for x, y in ((1 / 3, 1 / 3), (0.75, 0.25), (0.5, 0.5)):
        brightness = pixels(plain_scene(x=x, y=y, shape="circle")).mean(axis=2)
        rows, columns = np.nonzero(brightness > brightness.min() / 2 + brightness.max() / 2)
        assert columns.mean() / PICTURE_SIZE_PX == pytest.approx(x, abs=0.02)
        assert rows.mean() / PICTURE_SIZE_PX == pytest.approx(y, abs=0.02)


def test_every_shape_and_every_pattern_looks_different():
    pictures = [pixels(plain_scene(shape=shape, pattern=pattern)) for shape in SHAPES for pattern in PATTERNS]
    for i, first in enumerate(pictures):
        assert all(np.abs(first - second).mean() > 1 for second in pictures[:i])


def test_more_exposure_is_brighter():
    brightness = [pixels(plain_scene(exposure_stops=stops)).mean() for stops in (-1.6, -0.8, 0, 0.6)]
    assert brightness == sorted(brightness)
    assert brightness[0] < 0.6 * brightness[-1]


def test_more_blur_leaves_weaker_edges():
    edges = [np.abs(np.diff(pixels(plain_scene(blur=blur)), axis=0)).max() for blur in (0, 0.0045, 0.009, 0.015)]
    assert edges == sorted(edges, reverse=True)
    assert edges[-1] < edges[0] / 2


def test_distractors_are_as_many_dark_spots():
    scene = plain_scene(num_distractors=7)
    is_dark = pixels(scene).max(axis=2) < 40
    spot = np.pi * (0.033 * PICTURE_SIZE_PX) ** 2
    assert 0.7 * 7 * spot < is_dark.sum() < 1.5 * 7 * spot
    assert not (pixels(plain_scene()).max(axis=2) < 40).any()
