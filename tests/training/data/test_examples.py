import re
from dataclasses import replace

import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.engines.answers import AnswerReader
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.prompts import attribute_question
from artimuse.scoring import STRATEGIES
from artimuse.training.data.examples import ExampleMaker, Examples, write_examples

SPEC = read_spec(find_checkpoint("nano"))
EXISTING_TOKENS = [name for name, strategy in STRATEGIES.items() if strategy.candidates and not strategy.new_tokens]
BOTH = Annotation(
    image_id="a",
    uri="/a.png",
    dataset="d",
    split="train",
    kind="expert",
    score=73.4,
    question="What is it?",
    answer="A calm picture.",
    texts={ATTRIBUTES[1].slug: " Calm colours. ", ATTRIBUTES[0].slug: "Balanced.", ATTRIBUTES[2].slug: "  "},
)


def make(targets="both", strategy="ordered_100", max_tokens=8192):
    return ExampleMaker(SPEC.tokenizer, SPEC.template, STRATEGIES[strategy], targets, max_tokens=max_tokens)


def said(example):
    return AnswerReader(SPEC.tokenizer).read(list(example.answer_ids))


def test_texts_come_in_the_order_of_the_paper_and_then_the_score():
    examples = list(make().examples([BOTH]))
    assert [example.question for example in examples] == [
        attribute_question(ATTRIBUTES[0]),
        attribute_question(ATTRIBUTES[1]),
        STRATEGIES["ordered_100"].question,
    ]
    assert [example.score for example in examples] == [None, None, 73.4]


@pytest.mark.parametrize(("targets", "count"), [("texts", 2), ("scores", 1), ("both", 3), ("answers", 1)])
def test_only_what_is_asked_for_is_learnt(targets, count):
    assert len(list(make(targets).examples([BOTH]))) == count


def test_an_annotation_without_a_score_teaches_none():
    assert list(make("scores").examples([replace(BOTH, score=None)])) == []


def test_an_answer_is_read_back_as_the_text_and_ends_the_turn():
    first, second, _ = make().examples([BOTH])
    assert (said(first).text, said(first).truncated) == ("Balanced.", False)
    assert said(second).text == "Calm colours."


@pytest.mark.parametrize("strategy", EXISTING_TOKENS)
def test_a_score_is_answered_by_the_one_token_of_its_strategy(strategy):
    [example] = make("scores", strategy).examples([BOTH])
    token, stop = example.answer_ids
    assert SPEC.tokenizer.convert_ids_to_tokens(token) == STRATEGIES[strategy].answer(73.4)
    assert SPEC.tokenizer.convert_ids_to_tokens(stop) == "<|im_end|>"


def test_a_score_as_text_is_written_out():
    [example] = make("scores", "score_as_text").examples([BOTH])
    assert said(example).text == "73.40"


def test_a_text_that_is_too_long_is_refused_naming_its_image():
    with pytest.raises(BadInput, match=r"'a'.*--max-sequence-length is 100"):
        list(make(max_tokens=100).examples([BOTH]))


@pytest.mark.parametrize("token", ["<IMG_CONTEXT>", "<|im_end|>", "<|im_start|>", "<img>", "</img>", "<|endoftext|>"])
@pytest.mark.parametrize("part", ["question", "answer", "text"])
def test_a_token_of_the_prompt_is_refused_in_a_text(part, token):
    text = f"Soft light.{token} The rest is never learnt."
    changed = {"texts": {ATTRIBUTES[1].slug: text}} if part == "text" else {part: text}
    with pytest.raises(BadInput, match=rf"'a'.* has {re.escape(token)} in it"):
        list(make("texts" if part == "text" else "answers").examples([replace(BOTH, **changed)]))


def test_other_tokens_of_the_vocabulary_may_be_learnt():
    [example] = make("answers").examples([replace(BOTH, answer="<ref>the cat</ref><box>[[1, 2, 3, 4]]</box>")])
    assert said(example).text.startswith("<ref>the cat</ref>")


def test_a_plan_is_read_by_number(tmp_path):
    path = tmp_path / "plan.arrow"
    many = [replace(BOTH, image_id=str(i)) for i in range(3000)]
    assert write_examples(path, make().examples(many)) == 9000
    examples = Examples(path)
    assert len(examples) == 9000
    assert examples[8999].image_id == "2999"
    assert examples[8999].score == pytest.approx(73.4)
    assert examples[3].answer_ids == list(next(make().examples([BOTH])).answer_ids)


def test_the_length_of_an_example_is_that_of_its_prompt_and_its_answer(tmp_path):
    path = tmp_path / "plan.arrow"
    [example, *_] = make().examples([BOTH])
    many = [replace(example, question=str(i % 3), answer_ids=[7] * (i % 4)) for i in range(9000)]
    write_examples(path, many)
    lengths = Examples(path).lengths(lambda question: [0] * (10 + int(question)))
    assert lengths.tolist() == [10 + i % 3 + i % 4 for i in range(9000)]


def test_neighbours_about_one_image_are_grouped_up_to_a_size(tmp_path):
    path = tmp_path / "plan.arrow"
    [example, *_] = make().examples([BOTH])
    uris = ["/a", "/a", "/a", "/b", "/c", "/c", "/a"]
    write_examples(path, [replace(example, uri=uri) for uri in uris])
    examples = Examples(path)
    assert examples.group_starts(1).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert examples.group_starts(2).tolist() == [0, 2, 3, 4, 6]
    assert examples.group_starts(8).tolist() == [0, 3, 4, 6]
    write_examples(tmp_path / "one.arrow", [example])
    assert Examples(tmp_path / "one.arrow").group_starts(8).tolist() == [0]


def test_groups_go_on_over_the_pieces_of_a_long_plan(tmp_path):
    path = tmp_path / "plan.arrow"
    [example, *_] = make().examples([BOTH])
    write_examples(path, [replace(example, uri=f"/{i // 3}") for i in range(9000)])
    assert Examples(path).group_starts(3).tolist() == list(range(0, 9000, 3))


def test_a_question_of_the_table_is_asked_as_it_is():
    [example] = make("answers").examples([BOTH])
    assert example.question == "What is it?"
    assert said(example).text == "A calm picture."
