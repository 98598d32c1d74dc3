"""Captions: everything that is in the picture."""

import re
from dataclasses import replace

from artimuse.scenes.caption import write_caption
from artimuse.scenes.parameters import choose_scene


def test_a_caption_names_subject_ground_and_place():
    for number in range(100):
        scene = replace(
            choose_scene(number), place="upper left", shape="star", pattern="chequered", hue_deg=142, hue_step_deg=165
        )
        caption = write_caption(scene)
        for words in ("a violet star", "a green ground", "a chequered grid", "in the upper left"):
            assert words in caption.lower()


def test_captions_have_one_wording():
    captions = [write_caption(choose_scene(number)) for number in range(300)]
    assert all(re.fullmatch(r"An? [a-z ]+ in the [a-z ]+ of an? [a-z ]+; [a-z]+(, [a-z]+){4}\.", c) for c in captions)
    assert not any(re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", caption) for caption in captions)


def test_a_caption_names_what_cannot_be_pointed_at():
    for number in range(100):
        scene = choose_scene(number)
        properties = write_caption(scene).partition("; ")[2].removesuffix(".").split(", ")
        assert properties == [scene.clutter, scene.focus, scene.light, scene.harmony, scene.impact]


def test_a_scene_has_the_same_caption_always():
    assert write_caption(choose_scene(9)) == write_caption(choose_scene(9))
