"""What a base has met: captions that are true, and form that says nothing about its picture."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets.table import TableReader
from artimuse.prompts import CAPTION_QUESTION, LIST_QUESTION, attribute_question
from artimuse.scenes.language import LIST_LENGTH, LIST_STEP, ONE_IN, write_language
from artimuse.scenes.table import write_scenes
from artimuse.scoring import STRATEGIES

NUM_SCENES = 240


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("language")
    scenes = write_scenes(root / "scenes", sizes={"train": NUM_SCENES})
    return scenes, write_language(scenes, root / "language")


@pytest.fixture(scope="module")
def annotations(places):
    return list(TableReader().read(str(places[1]), "train"))


def answers(annotations, question):
    return [found.answer for found in annotations if found.question == question]


def test_every_scene_keeps_its_caption(places, annotations):
    scenes = list(TableReader().read(str(places[0]), "train"))
    assert [found for found in annotations if found.question == CAPTION_QUESTION] == scenes


def test_a_scene_is_asked_about_at_most_once_more_right_behind_its_caption(annotations):
    seconds = [i for i, found in enumerate(annotations) if found.question != CAPTION_QUESTION]
    assert 0.2 * NUM_SCENES < len(seconds) <= 3 * NUM_SCENES // ONE_IN
    assert all(annotations[i].uri == annotations[i - 1].uri for i in seconds)
    assert all(annotations[i - 1].question == CAPTION_QUESTION for i in seconds)


def test_every_attribute_is_asked_about_and_answered_about_another_picture(annotations):
    asked = [(found, a) for a in ATTRIBUTES for found in annotations if found.question == attribute_question(a)]
    assert {a.slug for _, a in asked} == {a.slug for a in ATTRIBUTES}
    written = {a.slug: {found.texts[a.slug] for found in annotations} for a in ATTRIBUTES}
    assert all(found.answer in written[a.slug] for found, a in asked)
    assert np.mean([found.answer == found.texts[a.slug] for found, a in asked]) < 0.2


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES.values() if not s.new_tokens], ids=lambda s: s.name)
def test_every_strategy_on_known_tokens_is_asked_and_answered_in_its_form(annotations, strategy):
    found = answers(annotations, strategy.question)
    assert found
    if strategy.candidates:
        assert set(found) <= {candidate.replace("Ġ", " ") for candidate in strategy.candidates}
    else:
        assert all(0 <= float(answer) <= 100 for answer in found)


def test_neighbours_in_a_list_are_alike(annotations):
    points = {answer: value for value, answer in enumerate(STRATEGIES["ordered_100"].candidates)}
    lists = [answer.split(",") for answer in answers(annotations, LIST_QUESTION)]
    numbers = [entries for entries in lists if entries[0][0].isdigit()]
    assert 0 < len(numbers) < len(lists)
    assert all(len(entries) == LIST_LENGTH // 3 for entries in numbers)
    assert all(len(entries) == LIST_LENGTH for entries in lists if entries not in numbers)
    pairs = [[points[entry] for entry in entries] for entries in lists if set(entries) <= points.keys()]
    assert pairs
    assert 0.5 * LIST_STEP < np.concatenate([np.diff(entries) for entries in pairs]).std() < 1.5 * LIST_STEP


def test_the_tables_are_the_same_every_time(places, tmp_path):
    scenes, language = places
    again = write_language(scenes, tmp_path)
    assert pq.read_table(again / "train.parquet").equals(pq.read_table(language / "train.parquet"))
