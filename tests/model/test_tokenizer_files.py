from pathlib import Path

import pytest
from transformers import Qwen2Tokenizer

from artimuse.model.tokenizer_files import read_tokenizer, write_tokenizer
from tests.model.checkpoints import NANO, read_json

TEXT = "The light: 1234567 <img></img> <tool_call> <new>aa <special> Ünï ℌ 你好\n\n <|im_end|>"


@pytest.fixture(params=["vocab.json", "tokenizer.json", "official", "published"])
def tokenizer(request, tmp_path) -> Qwen2Tokenizer:
    if request.param == "vocab.json":
        return Qwen2Tokenizer.from_pretrained(NANO)
    if request.param == "tokenizer.json":
        Qwen2Tokenizer.from_pretrained(NANO).save_pretrained(tmp_path / "source")
        assert not (tmp_path / "source" / "vocab.json").exists()
        return Qwen2Tokenizer.from_pretrained(tmp_path / "source")
    fixtures = request.getfixturevalue("test_data") / "fixtures"
    return Qwen2Tokenizer.from_pretrained(
        fixtures / ("official/tiny" if request.param == "official" else "qwen2.5-tokenizer")
    )


def assert_read_back(tokenizer: Qwen2Tokenizer, directory: Path) -> None:
    directory.mkdir()
    write_tokenizer(directory, tokenizer)
    assert {path.name for path in directory.iterdir()} == {"merges.txt", "tokenizer_config.json", "vocab.json"}
    again = read_tokenizer(directory, len(tokenizer))
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    added = {token_id: repr(token) for token_id, token in tokenizer.added_tokens_decoder.items()}
    assert {token_id: repr(token) for token_id, token in again.added_tokens_decoder.items()} == added
    token_ids = [*added, *tokenizer.encode(TEXT)]
    for skip in (False, True):
        shown = tokenizer.decode(token_ids, skip_special_tokens=skip)
        assert again.decode(token_ids, skip_special_tokens=skip) == shown
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.extra_special_tokens == tokenizer.extra_special_tokens
    assert again.model_max_length == tokenizer.model_max_length


def test_tokenizer_is_read_back_as_it_was(tokenizer, tmp_path):
    assert_read_back(tokenizer, tmp_path / "saved")


def test_tokens_added_since_are_read_back_too(tokenizer, tmp_path):
    num_known = len(tokenizer)
    assert "aa" in tokenizer.get_vocab()  # as a token that is merged: it keeps its id
    tokenizer.add_tokens(["<new>", "aa"])
    tokenizer.add_tokens(["<special>"], special_tokens=True)
    assert len(tokenizer) == num_known + 2
    assert_read_back(tokenizer, tmp_path / "saved")


def test_official_tokenizer_is_written_as_the_official_code_wrote_it(test_data, tmp_path):
    source = test_data / "fixtures" / "official" / "tiny"
    write_tokenizer(tmp_path, Qwen2Tokenizer.from_pretrained(source))
    assert read_json(tmp_path / "vocab.json") == read_json(source / "vocab.json")
    merges = [(directory / "merges.txt").read_text(encoding="utf-8").split() for directory in (tmp_path, source)]
    assert merges[0] == merges[1]
    written = read_json(tmp_path / "tokenizer_config.json")
    official = read_json(source / "tokenizer_config.json")
    assert {key: official[key] for key in written} == written
