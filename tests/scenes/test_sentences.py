"""Sentences: each names its class in any wording, and no other attribute's."""

from collections.abc import Iterator

import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.scenes import parameters
from artimuse.scenes.parameters import choose_scene
from artimuse.scenes.sentences import TOPICS, named_class, true_class, write_sentences

CLASSES = {
    "place": parameters.PLACES,
    "shape": parameters.SHAPES,
    "pattern": parameters.PATTERNS,
    "clutter": parameters.CLUTTERS,
    "focus": parameters.FOCUSES,
    "light": parameters.LIGHTS,
    "harmony": parameters.HARMONIES,
    "impact": parameters.IMPACTS,
}


def all_sentences(slug: str) -> Iterator[tuple[str, str]]:
    """Class and sentence, for every class in every wording."""
    for name, words in TOPICS[slug].words.items():
        for template in TOPICS[slug].templates:
            yield from ((name, template.format(word)) for word in words)


def test_every_attribute_has_a_property_of_the_scene_of_its_own():
    assert list(TOPICS) == [attribute.slug for attribute in ATTRIBUTES]
    assert {topic.parameter for topic in TOPICS.values()} == CLASSES.keys()


@pytest.mark.parametrize("slug", TOPICS)
def test_every_class_has_words_and_wordings(slug):
    topic = TOPICS[slug]
    assert set(topic.words) == set(CLASSES[topic.parameter])
    assert all(len(words) >= 2 for words in topic.words.values())
    assert len(set(topic.templates)) >= 4


@pytest.mark.parametrize("slug", TOPICS)
def test_every_sentence_names_its_class(slug):
    for name, sentence in all_sentences(slug):
        assert named_class(slug, sentence) == name, sentence


@pytest.mark.parametrize("slug", TOPICS)
def test_no_sentence_names_a_class_of_another_attribute(slug):
    for other in TOPICS.keys() - {slug}:
        for _, sentence in all_sentences(other):
            assert named_class(slug, sentence) is None, sentence


@pytest.mark.parametrize("slug", TOPICS)
def test_sentences_are_short(slug):
    for _, sentence in all_sentences(slug):
        assert 8 <= len(sentence.split()) <= 16, sentence


def test_a_scene_is_described_by_its_own_classes_in_words_that_vary():
    scenes = [choose_scene(number) for number in range(200)]
    for slug in TOPICS:
        sentences = [write_sentences(scene)[slug] for scene in scenes]
        assert [named_class(slug, sentence) for sentence in sentences] == [true_class(slug, s) for s in scenes]
        assert len(set(sentences)) > 20


def test_a_scene_has_the_same_sentences_always():
    assert write_sentences(choose_scene(9)) == write_sentences(choose_scene(9))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SHARP, and nothing but sharp.", "sharp"),
        ("Crisp and sharp.", "sharp"),
        ("Sharp here and blurred there.", None),
        ("The edges are sharpened.", None),
        ("", None),
    ],
)
def test_a_text_names_a_class_by_whole_words_and_only_one(text, named):
    assert named_class("technical_execution", text) == named


def test_an_attribute_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'focus' is no attribute; expected one of composition_and_design"):
        named_class("focus", "sharp")
    with pytest.raises(ValueError, match="'focus' is no attribute"):
        true_class("focus", choose_scene(0))
