"""Score as text: the model writes the number (paper table 4, experiment f)."""

import re
from collections.abc import Sequence

import numpy as np

from artimuse.interfaces import Capability, FloatArray, Images, ScoreDistribution, Text, Tokenizer
from artimuse.scoring.tokens import MAX_SCORE

# 100.00 are six tokens, one for each character.
MAX_NEW_TOKENS = 12
_NUMBER = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\.?")


class TextStrategy:
    """Implements `interfaces.ScoreStrategy`.

    The paper does not give its wording; question and two decimals are ours.
    """

    name = "score_as_text"
    question = "Rate the aesthetics of the image from 0 to 100. Answer with the number only, with two decimals."
    needs: Capability = "texts"
    candidates: tuple[str, ...] = ()
    values_K: FloatArray = np.empty(0, dtype=np.float32)
    new_tokens: tuple[str, ...] = ()

    def check(self, tokenizer: Tokenizer) -> None:
        """Every vocabulary can write numbers."""

    def ask(self, images: Images) -> ScoreDistribution:
        everything = np.ones(len(images), dtype=np.bool_)
        answers = images.generate([self.question], rows=everything, max_new_tokens=MAX_NEW_TOKENS)
        return self.read([texts[0] for texts in answers])

    def read(self, answers: Sequence[Text]) -> ScoreDistribution:
        """Scores without a spread; NaN with its problem for an answer that is no number of the scale."""
        mean_B = np.array([_parse(answer) for answer in answers], dtype=np.float32)
        unknown_B = np.full(len(answers), np.nan, dtype=np.float32)
        problems_B = tuple(
            f"the answer {answer.text!r} is not a number from 0 to 100" if np.isnan(mean) else None
            for answer, mean in zip(answers, mean_B)
        )
        return ScoreDistribution(mean_B, unknown_B, unknown_B, None, problems_B)

    def answer(self, score: float) -> str:
        """Raises ValueError outside 0..100."""
        if not 0 <= score <= MAX_SCORE:
            raise ValueError(f"score {score} is outside 0..100")
        return f"{score:.2f}"


def _parse(answer: Text) -> float:
    """NaN for an answer that is no number of the scale, or was cut off within one."""
    match = _NUMBER.fullmatch(answer.text.strip())
    if match is None or answer.truncated or float(match[1]) > MAX_SCORE:
        return float("nan")
    return float(match[1])


SCORE_AS_TEXT = TextStrategy()
