"""The questions put to the model, byte for byte: a changed space changes every score.

How a question is wrapped into a chat with an image is `model/template.py`.
"""

from artimuse.attributes import Attribute

# The interface of the published ArtiMuse checkpoints: trailing spaces, indentation and the closing newline with
# eight spaces are part of it. Source: the official evaluation code, commit 750d980. Held by a hash test.
SCORE_QUESTION = (
    "\n        Rate the aesthetics score of the image in 0-100. "
    "\n        In the output format, numbers are replaced by 2 corresponding letters, "
    "\n        and the mapping relationship is: "
    "\n        score 0 to 25: 0-aa, 1-ab, 2-ac, 3-ad, ... , 25-az,"
    "\n        score 26 to 50: 26-ca, 27-cb, 28-cc, 29-cd, ..., 50-cy,"
    "\n        score 51 to 75: 51-da, 52-db, 53-dc, 54-dd, ..., 75-dy,"
    "\n        score 76 to 100: 76-ea, 77-eb, 78-ec, 79-ed, ..., 100-ey."
    "\n"
    "\n        The answer only outputs 2 corresponding letters."
    "\n        "
)


CAPTION_QUESTION = "Describe the image."
LIST_QUESTION = "Write a list in which neighbours are alike."
"""Ours, both: they stand for the pretraining that a small base is given before the paper's stages."""


def attribute_question(attribute: Attribute) -> str:
    """The question whose answer is the written analysis of one attribute.

    Source: official evaluation code and paper figure 5 ("aspect"); the paper's appendix D.3 prints "attribute".
    """
    return f"Please evaluate the aesthetic quality of this image from the aspect of {attribute.name}."
