import numpy as np
import pytest

from artimuse.engines.fake import FakeImages
from artimuse.interfaces import Text
from artimuse.scoring.text import SCORE_AS_TEXT


def read(text: str, *, truncated: bool = False) -> float:
    return float(SCORE_AS_TEXT.read([Text(text, truncated=truncated)]).mean_B[0])


@pytest.mark.parametrize(
    ("text", "score"), [("63.25", 63.25), ("0.00", 0), ("100.00", 100), ("7", 7), (" 42.5 \n", 42.5), ("58.", 58)]
)
def test_a_number_of_the_scale_is_a_score(text, score):
    assert read(text) == pytest.approx(score)


@pytest.mark.parametrize(
    "text", ["", "good", "63.25 points", "-1", "100.01", "101", "1e2", "63,25", "about 60", "60 70", "nan", "٣٤"]
)
def test_anything_else_is_a_problem_that_quotes_it(text):
    scores = SCORE_AS_TEXT.read([Text("50", truncated=False), Text(text, truncated=False)])
    assert np.isnan(scores.mean_B[1])
    assert scores.problems_B == (None, f"the answer {text!r} is not a number from 0 to 100")


def test_a_number_that_was_cut_off_is_no_score():
    assert np.isnan(read("63.2", truncated=True))


def test_a_written_score_has_no_distribution():
    scores = SCORE_AS_TEXT.read([Text("50", truncated=False)])
    assert scores.probs_BK is None
    assert np.isnan(scores.std_B).all()
    assert np.isnan(scores.entropy_B).all()
    assert scores.mean_B.dtype == np.float32


@pytest.mark.parametrize("score", [0, 3.14159, 50, 99.999, 100])
def test_a_target_is_read_back_to_two_decimals(score):
    assert read(SCORE_AS_TEXT.answer(score)) == pytest.approx(score, abs=0.005001)


@pytest.mark.parametrize("score", [-0.1, 100.1, float("nan")])
def test_a_target_outside_the_scale_is_refused(score):
    with pytest.raises(ValueError, match="outside"):
        SCORE_AS_TEXT.answer(score)


def test_every_image_is_asked_once():
    asked = []

    class Images(FakeImages):
        def generate(self, questions, *, rows, max_new_tokens):
            asked.append((list(questions), rows.tolist(), max_new_tokens))
            return [[Text(f"{10 * i}", truncated=False)] for i in range(len(self))]

    scores = SCORE_AS_TEXT.ask(Images(np.zeros((3, 4, 4, 3), np.uint8)))
    assert asked == [([SCORE_AS_TEXT.question], [True] * 3, 12)]
    assert scores.mean_B.tolist() == [0, 10, 20]
