"""A tokenizer for networks with random weights: Qwen2.5's special tokens, and about as many tokens as it makes.

No vocabulary: a piece of text has the id that its checksum gives. What is generated cannot be read.
"""

import re
import zlib
from collections.abc import Sequence

from artimuse.engines.answers import HIDDEN_TOKENS

NUM_PLAIN_TOKENS = 151_643
"""The size of the Qwen2.5 vocabulary; the special tokens come after."""
# Source: the vocabulary of InternVL3, which adds its own to those of Qwen2.5.
SPECIAL_TOKENS = {token: NUM_PLAIN_TOKENS + i for i, token in enumerate(HIDDEN_TOKENS)} | {
    "<img>": 151_665,
    "</img>": 151_666,
    "<IMG_CONTEXT>": 151_667,
}

_SPECIAL = "|".join(map(re.escape, SPECIAL_TOKENS))
# Words and punctuation with the space before them, single digits, line breaks: nearly as Qwen2.5 cuts a text before
# it looks for tokens, and what it cuts from English is mostly one token.
_PIECES = re.compile(rf"{_SPECIAL}| ?[^\W\d_]+|\d| ?(?:(?!{_SPECIAL})(?:[^\w\s]|_))+\n*|\s*\n+|\s+(?!\S)|\s")


class ChecksumTokenizer:
    """Implements `interfaces.Tokenizer`, and of a Hugging Face tokenizer what `engines.answers` uses."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        del add_special_tokens  # Qwen2.5 adds none either
        return [_token_id(piece) for piece in _PIECES.findall(text)]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int | None]:
        """Never None: every string is a token."""
        return [_token_id(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """The special tokens; all others would be every string there is."""
        return dict(SPECIAL_TOKENS)

    def decode(self, token_ids: Sequence[int], **_: object) -> str:
        """The ids themselves, as words."""
        return " ".join(map(str, token_ids))


def _token_id(piece: str) -> int:
    return SPECIAL_TOKENS.get(piece, zlib.crc32(piece.encode()) % NUM_PLAIN_TOKENS)
