"""Saved checkpoints are read back as the network, tokenizer and prompts that they were."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, InternVLForConditionalGeneration, Qwen2Tokenizer

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import BadCheckpoint
from artimuse.images.decode import DecodedImage, decode
from artimuse.model.load import load_network, read_spec
from artimuse.model.template import DEFAULT_SYSTEM_MESSAGE, ChatTemplate
from artimuse.prompts import SCORE_QUESTION
from tests.model.checkpoints import (
    NANO,
    change_config,
    checkpoint,
    nano_weights,
    read_json,
    write_native,
    write_official,
)
from tests.model.saving import LAYOUTS, assert_same_weights, save, scores_of, stored, weights_of

TOKENIZER_FILES = {"merges.txt", "tokenizer_config.json", "vocab.json"}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 448, 448, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_network_has_the_same_weights_and_scores(tmp_path, pixels, layout):
    save(NANO, tmp_path / "saved", layout)
    assert_same_weights(weights_of(tmp_path / "saved"), weights_of(NANO))
    np.testing.assert_array_equal(scores_of(tmp_path / "saved", pixels), scores_of(NANO, pixels))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_configuration_is_read_back_as_it_was(tmp_path, layout):
    before = save(NANO, tmp_path / "saved", layout)
    after = read_spec(checkpoint(tmp_path / "saved"))
    assert after.config.to_dict() == before.config.to_dict()
    assert after.template == before.template


def test_layouts_can_follow_each_other(tmp_path):
    save(NANO, tmp_path / "first", "official")
    save(tmp_path / "first", tmp_path / "second", "native")
    save(tmp_path / "second", tmp_path / "third", "official")
    assert_same_weights(weights_of(tmp_path / "third"), weights_of(NANO))
    for name in ("config.json", *TOKENIZER_FILES):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "third" / name).read_bytes(), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_files_that_are_needed_are_written_and_everyone_may_read_them(tmp_path, layout):
    save(NANO, tmp_path / "saved", layout)
    files = list((tmp_path / "saved").iterdir())
    assert {path.name for path in files} == {"config.json", "model.safetensors", *TOKENIZER_FILES}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}
    assert list(tmp_path.iterdir()) == [tmp_path / "saved"]


def test_native_checkpoint_is_one_of_transformers(tmp_path):
    save(NANO, tmp_path / "saved", "native")
    model, info = InternVLForConditionalGeneration.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(info.values())
    assert model.dtype == torch.bfloat16
    assert_same_weights({name: weight.float() for name, weight in model.state_dict().items()}, nano_weights())
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "saved").get_vocab()
        == Qwen2Tokenizer.from_pretrained(NANO).get_vocab()
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["tiny", "tiny-lora"])
def test_official_checkpoint_saved_again_gives_the_official_scores(tmp_path, test_data, name, layout):
    directory = test_data / "fixtures" / "official"
    expected = read_json(directory / name / "expected.json")
    save(directory / name, tmp_path / "saved", layout, dtype=torch.float32)
    spec = read_spec(checkpoint(tmp_path / "saved"))
    assert spec.template.token_ids(spec.tokenizer, SCORE_QUESTION) == expected["score_input_ids"]
    decoded = [decode((directory / "images" / image).read_bytes(), DecodeLimits()) for image in expected["images"]]
    pixels = np.stack([image.pixels_HWC for image in decoded if isinstance(image, DecodedImage)])
    scores = [image["score"] for image in expected["images"].values()]
    np.testing.assert_allclose(scores_of(tmp_path / "saved", pixels), scores, rtol=0, atol=1e-3)


def test_official_checkpoint_saved_again_is_stored_as_the_official_code_stored_it(tmp_path, test_data):
    directory = test_data / "fixtures" / "official" / "tiny"
    save(directory, tmp_path / "saved", "official")
    assert_same_weights(stored(tmp_path / "saved"), stored(directory))
    ours, theirs = (read_json(path / "config.json") for path in (tmp_path / "saved", directory))
    # Tiles, which the official code never makes, and the system message, which is its default there.
    other = {"dynamic_image_size", "use_thumbnail", "max_dynamic_patch", "system_message"}
    for part in ("llm_config", "vision_config"):
        section = theirs.pop(part)
        assert {key: section[key] for key in ours[part]} == ours.pop(part)
    assert {key: theirs[key] for key in ours.keys() - other} == {key: ours[key] for key in ours.keys() - other}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("message", [DEFAULT_SYSTEM_MESSAGE, "None", "", 'You are a "strict" photo critic.\n'])
def test_prompts_are_the_same_for_every_system_message(tmp_path, layout, message):
    source = write_native(tmp_path / "source")
    if message == DEFAULT_SYSTEM_MESSAGE:  # in the source: no such key
        config = read_json(source / "config.json")
        del config["system_message"]
        (source / "config.json").write_text(json.dumps(config))
    else:
        change_config(source, system_message=None if message == "None" else message)
    before = save(source, tmp_path / "saved", layout)
    after = read_spec(checkpoint(tmp_path / "saved"))
    assert before.template.system_message == message
    assert after.template == before.template
    token_ids = [each.template.token_ids(each.tokenizer, SCORE_QUESTION) for each in (before, after)]
    assert token_ids[0] == token_ids[1]


def test_template_of_another_network_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="256 image tokens, the network 49"):
        save(NANO, tmp_path / "saved", template=ChatTemplate("None", num_image_tokens=256))


def grown(vocab_size: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Nano's weights with more rows, which say their number, in the embeddings and the output layer."""
    for name, weight in nano_weights().items():
        if name in ("lm_head.weight", "model.language_model.embed_tokens.weight"):
            numbers = torch.arange(len(weight), vocab_size)[:, None].expand(-1, weight.shape[1])
            weight = torch.cat([weight, numbers])
        yield name, weight


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vocabulary_may_have_grown(tmp_path, pixels, layout):
    spec = read_spec(checkpoint(NANO))
    num_known = len(spec.tokenizer)
    spec.tokenizer.add_tokens(["<one>", "<two>"])
    spec.config.text_config.vocab_size = num_known + 2
    parts = {"config": spec.config, "tokenizer": spec.tokenizer}
    save(NANO, tmp_path / "saved", layout, **parts, weights=grown(num_known + 2), dtype=torch.float32)
    network = load_network(checkpoint(tmp_path / "saved"), dtype=torch.float32, device="cpu")
    assert network.tokenizer.encode("<two><one>") == [num_known + 1, num_known]
    assert network.model.get_input_embeddings().weight[num_known + 1, 0] == num_known + 1
    assert network.model.lm_head.weight[num_known, 0] == num_known
    np.testing.assert_allclose(scores_of(tmp_path / "saved", pixels), scores_of(NANO, pixels), rtol=0, atol=1e-3)


def test_vocabulary_larger_than_the_network_is_refused(tmp_path):
    spec = read_spec(checkpoint(NANO))
    num_known = len(spec.tokenizer)
    spec.tokenizer.add_tokens(["<one>"])
    with pytest.raises(BadCheckpoint, match=f"vocab_size is {num_known}"):
        save(NANO, tmp_path / "saved", tokenizer=spec.tokenizer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_files_hold_what_one_would(tmp_path, layout):
    save(NANO, tmp_path / "one", layout)
    save(NANO, tmp_path / "many", layout, max_shard_bytes=10**5)
    assert_same_weights(stored(tmp_path / "many"), stored(tmp_path / "one"))
    assert_same_weights(weights_of(tmp_path / "many"), weights_of(NANO))
    shards = list((tmp_path / "many").glob("*.safetensors"))
    assert len(shards) > 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in shards} == {0o644}


def test_order_of_the_stream_does_not_matter(tmp_path):
    weights = sorted(nano_weights().items(), reverse=True)  # v, q and k with others in between
    save(NANO, tmp_path / "saved", "official", weights=iter(weights))
    assert_same_weights(weights_of(tmp_path / "saved"), weights_of(NANO))


def test_memory_of_a_tensor_may_be_used_for_the_next(tmp_path):
    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        memory = torch.empty(max(weight.numel() for weight in nano_weights().values()), dtype=torch.bfloat16)
        for name, weight in nano_weights().items():
            yield name, memory[: weight.numel()].view(weight.shape).copy_(weight)

    save(NANO, tmp_path / "saved", "official", weights=stream())
    assert_same_weights(weights_of(tmp_path / "saved"), weights_of(NANO))


def test_tied_embeddings_stay_one_in_the_native_layout(tmp_path):
    save(tied(tmp_path), tmp_path / "saved")
    assert "lm_head.weight" not in stored(tmp_path / "saved")
    model = load_network(checkpoint(tmp_path / "saved"), dtype=torch.float32, device="cpu").model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def tied(tmp_path: Path) -> Path:
    weights = nano_weights()
    del weights["lm_head.weight"]
    source = write_native(tmp_path / "source", weights)
    change_config(source, tie_word_embeddings=True, text_config__tie_word_embeddings=True)
    return source


def test_tied_embeddings_are_refused_in_the_official_layout(tmp_path):
    with pytest.raises(BadCheckpoint, match="tie_word_embeddings is True"):
        save(tied(tmp_path), tmp_path / "saved", "official")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("projector_hidden_act", "relu"),
        ("text_config.use_sliding_window", True),
        ("text_config.rope_parameters", {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0}),
        ("vision_config.use_mean_pooling", False),
        ("vision_config.use_mask_token", True),
        ("vision_config.patch_size", [32, 28]),
    ],
)
def test_what_the_official_layout_cannot_say_is_refused(tmp_path, key, value):
    config = read_spec(checkpoint(NANO)).config
    *parents, leaf = key.split(".")
    setattr(getattr(config, parents[0]) if parents else config, leaf, value)
    with pytest.raises(BadCheckpoint, match=key):
        save(NANO, tmp_path / "saved", "official", config=config)


def test_plain_rotary_settings_are_kept(tmp_path):
    source = write_official(tmp_path / "source")
    change_config(source, llm_config__rope_scaling=None)
    before = save(source, tmp_path / "saved", "official")
    assert before.config.text_config.rope_parameters == {"rope_theta": 1e6, "rope_type": "default"}
    assert read_spec(checkpoint(tmp_path / "saved")).config.to_dict() == before.config.to_dict()
