from pathlib import Path

import pytest
import torch
from transformers import Qwen2Tokenizer

from artimuse.attributes import ATTRIBUTES
from artimuse.errors import BadCheckpoint
from artimuse.model.load import load_network
from artimuse.model.template import DEFAULT_SYSTEM_MESSAGE, ChatTemplate, check_tokenizer
from artimuse.prompts import SCORE_QUESTION, attribute_question
from artimuse.scoring import STRATEGIES
from tests.model.checkpoints import NANO, change_config, checkpoint, read_json, write_json, write_native, write_official


def template_of(directory: Path) -> ChatTemplate:
    return load_network(checkpoint(directory), dtype=torch.float32, device="cpu").template


@pytest.mark.parametrize("write", [write_native, write_official])
def test_system_message_has_three_cases_in_both_layouts(tmp_path, write):
    write(tmp_path)
    assert template_of(tmp_path).system_message == "None"
    change_config(tmp_path, system_message="You are a strict photo critic.")
    assert template_of(tmp_path).system_message == "You are a strict photo critic."
    change_config(tmp_path, system_message="")
    assert template_of(tmp_path).system_message == ""
    config = read_json(tmp_path / "config.json")
    del config["system_message"]
    write_json(tmp_path / "config.json", config)
    assert template_of(tmp_path).system_message == DEFAULT_SYSTEM_MESSAGE


def test_number_of_image_tokens_follows_from_the_config():
    assert template_of(NANO).num_image_tokens == (448 // 32 // 2) ** 2


def test_prompt_ends_where_the_answer_starts():
    assert ChatTemplate("Be kind.", num_image_tokens=2).prompt("Good?") == (
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nGood?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tokenizer_without_the_special_tokens_is_refused():
    with pytest.raises(BadCheckpoint, match=r"here: <\|im_start\|> is not a single token"):
        check_tokenizer(Qwen2Tokenizer(vocab={"a": 0, "<": 1, "|": 2}, merges=[]), "here")


def test_prompts_of_the_published_vocabulary_equal_the_official_ones(test_data):
    directory = test_data / "fixtures" / "qwen2.5-tokenizer"
    expected = read_json(directory / "expected_prompt_ids.json")
    tokenizer = Qwen2Tokenizer.from_pretrained(directory, local_files_only=True)
    template = ChatTemplate("None", num_image_tokens=256)
    assert template.token_ids(tokenizer, SCORE_QUESTION) == expected["score_input_ids"]
    for attribute in ATTRIBUTES:
        question = attribute_question(attribute)
        assert template.token_ids(tokenizer, question) == expected["aspect_input_ids"][attribute.name]


def test_score_tokens_of_the_published_vocabulary_equal_the_official_ones(test_data):
    directory = test_data / "fixtures" / "qwen2.5-tokenizer"
    expected = read_json(directory / "score_tokens.json")
    tokenizer = Qwen2Tokenizer.from_pretrained(directory, local_files_only=True)
    strategy = STRATEGIES["ordered_100"]
    assert list(strategy.candidates) == expected["tokens"]
    assert tokenizer.convert_tokens_to_ids(list(strategy.candidates)) == expected["ids"]
    for each in STRATEGIES.values():
        if not each.new_tokens:
            each.check(tokenizer)


@pytest.mark.parametrize("name", ["tiny", "tiny-lora"])
def test_prompts_of_the_fixtures_equal_the_official_ones(test_data, name):
    directory = test_data / "fixtures" / "official" / name
    expected = read_json(directory / "expected.json")
    network = load_network(checkpoint(directory), dtype=torch.float32, device="cpu")
    assert network.template.system_message == expected["system_message_used"] == DEFAULT_SYSTEM_MESSAGE
    assert network.template.token_ids(network.tokenizer, SCORE_QUESTION) == expected["score_input_ids"]
    for attribute in ATTRIBUTES:
        question = attribute_question(attribute)
        assert network.template.token_ids(network.tokenizer, question) == expected["aspect_input_ids"][attribute.name]
