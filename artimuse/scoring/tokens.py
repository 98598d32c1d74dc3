"""Token As Score: the score is the mean over a fixed set of answer tokens (paper section 4.3, appendix C).

The paper's variants differ only in their tokens, values and rounding, so each is an instance of one class.
"""

# B images, K candidate tokens
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

import numpy as np
from scipy.special import log_softmax

from artimuse.errors import BadCheckpoint
from artimuse.interfaces import Capability, FloatArray, Images, ScoreDistribution, Tokenizer
from artimuse.prompts import SCORE_QUESTION

MAX_SCORE = 100.0


@dataclass(frozen=True, kw_only=True)
class TokenStrategy:
    """Scores as a distribution over tokens; implements `interfaces.ScoreStrategy`."""

    name: str
    question: str
    candidates: tuple[str, ...]
    values_K: FloatArray = field(compare=False)
    new_tokens: tuple[str, ...] = ()
    rounding: Literal["nearest", "level"] = "nearest"
    """How a training score picks its token: the nearest value, half up; or the paper's equation 1."""

    def __post_init__(self) -> None:
        if len(self.candidates) != len(self.values_K):
            raise ValueError(f"{self.name}: {len(self.candidates)} candidates for {len(self.values_K)} values")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError(f"{self.name}: a candidate token is listed twice")

    @property
    def needs(self) -> Capability:
        return "logits"

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises BadCheckpoint unless every candidate is one distinct token of this vocabulary."""
        ids = tokenizer.convert_tokens_to_ids(list(self.candidates))
        missing = [token for token, token_id in zip(self.candidates, ids) if token_id is None]
        if missing:
            raise BadCheckpoint(
                f"strategy {self.name}: the tokenizer has no token {missing[0]!r}"
                f" ({len(missing)} of {len(ids)} are missing); is this an ArtiMuse checkpoint?"
            )
        if len(set(ids)) != len(ids):
            raise BadCheckpoint(f"strategy {self.name}: two answer tokens share one id in this tokenizer")
        for token, token_id in zip(self.candidates, ids):
            # The spelling of non-ASCII entries is the byte-level alphabet's, not text that could be encoded.
            if token.isascii() and tokenizer.encode(token, add_special_tokens=False) != [token_id]:
                raise BadCheckpoint(f"strategy {self.name}: {token!r} is not encoded as a single token")

    def ask(self, images: Images) -> ScoreDistribution:
        return self.distribution(images.logits(self.question, self.candidates))

    def distribution(self, logits_BK: FloatArray) -> ScoreDistribution:
        """Softmax over the candidates and its moments, in float32.

        Raises ValueError if K is not the number of candidates.
        Source: paper section 4.3, S = sum_i i * p_i. In bfloat16 the mean would move in steps of up to 0.5.
        """
        if logits_BK.ndim != 2 or logits_BK.shape[1] != len(self.values_K):
            raise ValueError(f"{self.name}: logits of shape {logits_BK.shape}, expected (B, {len(self.values_K)})")
        log_probs_BK = log_softmax(logits_BK.astype(np.float32), axis=1)
        probs_BK = np.exp(log_probs_BK)
        # Not `@`: BLAS sums in an order that depends on the batch, and an image's score must not.
        mean_B = np.sum(probs_BK * self.values_K, axis=1)
        # From the centred values: E[x^2] - E[x]^2 cancels in float32.
        variance_B = np.sum(probs_BK * (self.values_K[None, :] - mean_B[:, None]) ** 2, axis=1)
        entropy_B = -np.sum(np.where(probs_BK > 0, probs_BK * log_probs_BK, 0), axis=1)
        # Rounding in the sum must not push a score off its scale.
        mean_B = np.clip(mean_B, self.values_K.min(), self.values_K.max())
        return ScoreDistribution(mean_B, np.sqrt(variance_B), np.maximum(entropy_B, 0), probs_BK)

    def answer(self, score: float) -> str:
        """The token a score is trained towards, as the vocabulary spells it.

        Raises ValueError outside 0..100.
        Source: paper section 4.3; rounding half up is ours where the paper is silent. `level` is the paper's
        equation 1 with m = 0 and M = 100, where the intervals are open below; a score of 0 counts as the lowest.
        """
        if not 0 <= score <= MAX_SCORE:
            raise ValueError(f"score {score} is outside 0..100")
        position = score / MAX_SCORE * (len(self.candidates) - (self.rounding == "nearest"))
        if self.rounding == "nearest":
            return self.candidates[int(np.floor(position + 0.5))]
        return self.candidates[max(int(np.ceil(position)) - 1, 0)]


def _even_values(count: int) -> FloatArray:
    return np.linspace(0, MAX_SCORE, count, dtype=np.float32)


def _letters_question(first: str, last: str) -> str:
    return (
        "Rate the aesthetics of the image on a scale of letters that stands for 0 to 100,"
        f" where {first} is 0 and {last} is 100. Answer with one letter only."
    )


def _on_grid(name: str, question: str, candidates: tuple[str, ...]) -> TokenStrategy:
    return TokenStrategy(name=name, question=question, candidates=candidates, values_K=_even_values(len(candidates)))


ORDERED_100 = _on_grid(
    "ordered_100",
    SCORE_QUESTION,
    # Paper table 9: a + a..z, then c, d and e + a..y.
    tuple("a" + letter for letter in ascii_lowercase)
    + tuple(first + letter for first in "cde" for letter in ascii_lowercase[:25]),
)

# Paper table 8: ids 15..115 of the Qwen2.5 vocabulary. From the 80th on they are single bytes, which the byte-level
# vocabulary spells with Latin-1 letters; the soft hyphen (U+00AD) is not among them.
UNORDERED_100 = _on_grid(
    "unordered_100",
    "Rate the aesthetics of the image on a scale of 101 symbols that stand for 0 to 100. Answer with one symbol only.",
    tuple(chr(code) for code in [*range(0x30, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0xB8)]),
)

# The paper lists 25 and 50 letters for 26 and 51 values; we complete each list with the next letter of its last run.
EXISTING_25 = _on_grid("existing_25", _letters_question("a", "z"), tuple(ascii_lowercase))
EXISTING_50 = _on_grid("existing_50", _letters_question("a", "Z"), tuple(ascii_lowercase[:25]) + tuple(ascii_uppercase))

# Paper equation 2. With a leading space (spelled Ġ), because the Qwen2.5 vocabulary has no bare "poor" and "fair".
# The paper gives no weights for the weighted sum; these are Q-Align's, on our scale.
LEVELS_5 = TokenStrategy(
    name="levels_5",
    question="Rate the aesthetics of the image. Answer with one word only: bad, poor, fair, good or excellent.",
    candidates=("Ġbad", "Ġpoor", "Ġfair", "Ġgood", "Ġexcellent"),
    values_K=_even_values(5),
    rounding="level",
)


def _expanded(count: int) -> TokenStrategy:
    """Tokens that no vocabulary has yet: training adds them (paper appendix C.2). The question is ours."""
    tokens = tuple(f"[AES_SCORE_TOKEN_{i}]" for i in range(count + 1))
    return TokenStrategy(
        name=f"expanded_{count}",
        question=(
            f"Rate the aesthetics of the image on a scale of {count + 1} score tokens that stand for 0 to 100."
            " Answer with one score token only."
        ),
        candidates=tokens,
        values_K=_even_values(count + 1),
        new_tokens=tokens,
    )


EXPANDED = tuple(_expanded(count) for count in (25, 50, 100, 200, 250, 500))
"""Experiments b to f of the paper's table 10."""
