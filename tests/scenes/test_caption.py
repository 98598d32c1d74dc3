"""Captions: everything that is in the picture."""

import re
from dataclasses import replace

from artimuse.scenes.caption import write_caption
from artimuse.scenes.parameters import choose_scene
from artimuse.scenes.sentences import TOPICS, named_class, true_class


def test_a_caption_names_subject_ground_and_place():
    for number in range(100):
        scene = replace(
            choose_scene(number), place="upper left", shape="star", pattern="chequered", hue_deg=142, hue_step_deg=165
        )
        caption = write_caption(scene)
        for words in ("a violet star", "a green ground", "a chequered grid", "in the upper left"):
            assert words in caption.lower()


def test_captions_are_sentences_in_several_wordings():
    captions = [write_caption(choose_scene(number)).partition(" Words: ")[0] for number in range(300)]
    assert all(re.fullmatch(r"[A-Z][a-z ]+\.", caption) for caption in captions)
    assert all(8 <= len(caption.split()) <= 20 for caption in captions)
    assert not any(re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", caption) for caption in captions)
    assert len({caption.split()[0] for caption in captions}) > 3


def test_a_list_of_words_names_the_class_of_every_attribute():
    orders = set()
    for number in range(100):
        scene = choose_scene(number)
        words = write_caption(scene).partition(" Words: ")[2].removesuffix(".").split(", ")
        assert len(words) == len(TOPICS)
        named = [slug for word in words for slug in TOPICS if named_class(slug, word) == true_class(slug, scene)]
        assert sorted(named) == sorted(TOPICS)
        orders.add(tuple(named))
    assert len(orders) > 50


def test_a_scene_has_the_same_caption_always():
    assert write_caption(choose_scene(9)) == write_caption(choose_scene(9))
