import pytest

from artimuse.scenes.evaluation import evaluate
from artimuse.scenes.score import annotated_score
from artimuse.scenes.sentences import TOPICS, write_sentences
from artimuse.scenes.table import choose_scenes

SCENES = list(choose_scenes("test", 40))


def rows(*, described=True, spoiled=()):
    """A perfect model's rows; sentences of the spoiled attributes are silent."""
    found = []
    for scene in SCENES:
        texts = write_sentences(scene) | dict.fromkeys(spoiled, "It is a picture.")
        told = {slug: texts[slug] if described else None for slug in TOPICS}
        found.append({"score": annotated_score(scene), "texts_truncated": 0 if described else None, **told})
    return found


def test_a_perfect_model_is_perfect():
    found = evaluate(SCENES, rows())
    assert (found.srcc, found.plcc, found.share_right) == (pytest.approx(1), pytest.approx(1), 1.0)
    assert 0.2 < found.share_majority < 0.6


def test_sentences_that_name_nothing_are_not_right():
    found = evaluate(SCENES, rows(spoiled=["technical_execution"]))
    assert found.sentences["technical_execution"].right == 0
    assert found.share_right == pytest.approx(7 / 8)


def test_what_has_no_score_is_counted_and_left_out():
    found = evaluate(SCENES, [{**row, "score": None if i < 5 else row["score"]} for i, row in enumerate(rows())])
    assert (found.num_scenes, found.num_scored, found.srcc) == (40, 35, pytest.approx(1))


def test_without_any_score_there_is_no_correlation():
    found = evaluate(SCENES, [{**row, "score": None} for row in rows()])
    assert found.num_scored == 0
    assert (found.srcc, found.plcc) == (None, None)


def test_without_sentences_only_scores_are_judged():
    found = evaluate(SCENES, rows(described=False))
    assert (found.num_scenes, found.num_described, dict(found.sentences)) == (40, 0, {})
