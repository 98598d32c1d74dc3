import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.bench.tokenizer import _PIECES, SPECIAL_TOKENS, ChecksumTokenizer
from artimuse.engines.answers import AnswerReader
from artimuse.model.template import ChatTemplate, check_tokenizer
from artimuse.prompts import SCORE_QUESTION, attribute_question
from artimuse.scoring import STRATEGIES

TOKENIZER = ChecksumTokenizer()
TEMPLATE = ChatTemplate("None", 256)


def test_special_tokens_have_the_ids_of_internvl3():
    check_tokenizer(TOKENIZER, "here")
    assert SPECIAL_TOKENS["<|endoftext|>"] == 151643
    assert SPECIAL_TOKENS["<|im_end|>"] == AnswerReader(TOKENIZER).stop_id == 151645
    assert SPECIAL_TOKENS["<|video_pad|>"] == 151656
    assert TOKENIZER.encode("<img><IMG_CONTEXT></img>") == [151665, 151667, 151666]


def test_prompts_are_nearly_as_long_as_with_the_real_vocabulary():
    """There they have 479 tokens for the score, 288 to 291 for the attributes, 267 of them up to the question."""
    score = TEMPLATE.token_ids(TOKENIZER, SCORE_QUESTION)
    assert score.index(SPECIAL_TOKENS["</img>"]) + 1 == 267
    assert len(score) == pytest.approx(479, rel=0.02)
    for attribute in ATTRIBUTES:
        assert 287 <= len(TEMPLATE.token_ids(TOKENIZER, attribute_question(attribute))) <= 291


def test_no_text_is_lost_between_the_pieces():
    words = 'A dog,\n\n  2 cats_and\t"Ünïcode²" <|im_end|>\n (end) '
    pieces = _PIECES.findall(words)
    assert "".join(pieces) == words
    assert len(TOKENIZER.encode(words)) == len(pieces)


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES.values() if not s.new_tokens], ids=lambda s: s.name)
def test_every_strategy_finds_its_answer_tokens(strategy):
    strategy.check(TOKENIZER)


def test_answers_are_read_without_special_tokens():
    text = AnswerReader(TOKENIZER).read([7, 151656, 8, 151645])
    assert (text.text, text.truncated) == ("7 8", False)
