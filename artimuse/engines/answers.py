"""Answers in tokens: those to choose from, and texts from those generated, as the official code reads them."""

from collections.abc import Sequence
from typing import Any

from artimuse.interfaces import Text, Tokenizer

STOP_TOKEN = "<|im_end|>"
# Source: what the Qwen2 tokenizer of the official code leaves out. Others, such as <img> and <box>, stay in the text;
# `skip_special_tokens` of transformers 5 would hide them too.
HIDDEN_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    STOP_TOKEN,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class AnswerReader:
    """Turns generated token ids into texts."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is a Hugging Face one."""
        self.tokenizer = tokenizer
        [self.stop_id] = tokenizer.encode(STOP_TOKEN, add_special_tokens=False)
        known = tokenizer.get_vocab()
        self.hidden_ids = frozenset(known[token] for token in HIDDEN_TOKENS if token in known)

    def read(self, token_ids: Sequence[int]) -> Text:
        """`token_ids` end with the stop token, unless the answer ended at its limit."""
        shown = [token_id for token_id in token_ids if token_id not in self.hidden_ids]
        text: str = self.tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        is_truncated = not token_ids or token_ids[-1] != self.stop_id
        return Text(text.split(STOP_TOKEN)[0].strip(), truncated=is_truncated, token_ids=tuple(token_ids))


def candidate_ids(tokenizer: Tokenizer, candidates: Sequence[str]) -> list[int]:
    """Raises ValueError for a candidate that is not in the vocabulary."""
    token_ids = tokenizer.convert_tokens_to_ids(list(candidates))
    known = [token_id for token_id in token_ids if token_id is not None]
    if len(known) < len(candidates):
        raise ValueError("a candidate is not in the vocabulary; `strategy.check(engine.tokenizer)` says which")
    return known
