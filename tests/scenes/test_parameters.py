"""The parameters of a scene: the same for a number and seed, in their bands, and independent of each other."""

from collections import Counter
from dataclasses import asdict
from itertools import combinations

import pytest
from scipy.stats import spearmanr

from artimuse.scenes.parameters import CLUTTERS, FOCUSES, HARMONIES, IMPACTS, LIGHTS, PLACES, choose_scene

BANDS = (CLUTTERS, FOCUSES, HARMONIES, IMPACTS, LIGHTS)


def test_a_number_and_a_seed_give_the_same_scene_always():
    assert choose_scene(7, seed=3) == choose_scene(7, seed=3)


def test_the_random_numbers_are_those_of_every_machine():
    scene = choose_scene(7, seed=3)
    assert (scene.place, scene.shape, scene.pattern, scene.num_distractors) == ("centre", "star", "horizontal", 2)
    assert (scene.x, scene.hue_deg, scene.exposure_stops) == pytest.approx((0.5161223941, 334.7271917321, 0.5384043854))


def test_another_number_or_seed_gives_another_scene():
    hues = {scene.hue_deg for scene in (choose_scene(7), choose_scene(8), choose_scene(7, seed=1))}
    assert len(hues) == 3


@pytest.mark.parametrize(("number", "seed"), [(-1, 0), (2**32, 0), (0, -1), (0, 2**32)])
def test_a_number_or_seed_that_is_none_is_refused(number: int, seed: int):
    with pytest.raises(ValueError, match=r"expected 0 to 2\*\*32 - 1"):
        choose_scene(number, seed=seed)


@pytest.mark.parametrize("bands", BANDS)
def test_bands_leave_gaps(bands):
    ends = [end for band in sorted(bands.values()) for end in band]
    assert ends == sorted(ends)
    assert all(low < high for low, high in zip(ends[1::2], ends[2::2]))


def test_the_subject_is_on_the_side_that_its_place_says(scenes):
    for scene in scenes:
        right, down = PLACES[scene.place]
        for at, side in ((scene.x, right), (scene.y, down)):
            assert 0.19 < at < 0.81
            assert abs(at - 0.5) < 0.041 if side == 0 else (at - 0.5) * side > 0.1


def test_the_distance_from_the_thirds_is_what_the_place_allows(scenes):
    for scene in scenes:
        low, high = (0.17, 0.28) if scene.place == "centre" else (0, 0.141)
        assert low < scene.off_third < high or scene.off_third == pytest.approx(low)


def test_parameters_are_independent(scenes):
    columns = {
        name: [asdict(scene)[name] for scene in scenes]
        for name in ("x", "y", "radius", "hue_deg", "hue_step_deg", "contrast", "exposure_stops", "blur")
    }
    for first, second in combinations(columns, 2):
        assert abs(spearmanr(columns[first], columns[second]).statistic) < 0.06, (first, second)


@pytest.mark.parametrize("name", ["place", "shape", "pattern", "clutter", "focus", "light", "harmony", "impact"])
def test_each_class_comes_as_often_as_the_others(scenes, name):
    counts = Counter(getattr(scene, name) for scene in scenes)
    assert len(counts) >= 4
    assert max(counts.values()) < 1.2 * min(counts.values())
