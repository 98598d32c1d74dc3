import json

import numpy as np
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.bench.official import OfficialLoop
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.images.decode import DecodedImage, decode
from artimuse.prompts import attribute_question
from artimuse.scoring.tokens import ORDERED_100

QUESTIONS = [attribute_question(attribute) for attribute in ATTRIBUTES]


def make_loop(model: object) -> OfficialLoop:
    return OfficialLoop(EngineConfig(model=str(model), device="cpu", dtype="float32"))


@pytest.mark.timeout(300)
def test_it_does_what_the_official_code_does(test_data):
    """Against what the unmodified code, commit 750d980 in float32, computes on a small checkpoint."""
    directory = test_data / "fixtures" / "official"
    expected = json.loads((directory / "tiny" / "expected.json").read_text(encoding="utf-8"))
    decoded = [decode((directory / "images" / name).read_bytes(), DecodeLimits()) for name in expected["images"]]
    assert all(isinstance(image, DecodedImage) for image in decoded)
    everyone = np.ones(len(decoded), dtype=np.bool_)
    with make_loop(directory / "tiny").open(np.stack([image.pixels_HWC for image in decoded])) as images:
        scores_B = ORDERED_100.distribution(images.logits(ORDERED_100.question, ORDERED_100.candidates)).mean_B
        answers = images.generate(QUESTIONS, rows=everyone, max_new_tokens=int(expected["max_new_tokens"]))
    assert len(scores_B) == 17
    wanted = expected["images"].values()
    np.testing.assert_allclose(scores_B, [image["score"] for image in wanted], rtol=0, atol=1e-3)
    for texts, image in zip(answers, wanted, strict=True):
        for text, attribute in zip(texts, ATTRIBUTES, strict=True):
            assert list(text.token_ids) == image["texts"][attribute.name]["token_ids"]
            assert text.text == image["texts"][attribute.name]["text"]


@pytest.fixture
def calls():
    """A loop on the built-in model, and the number of positions in each call of its output layer."""
    loop = make_loop("nano")
    calls = []
    loop.network.model.lm_head.register_forward_hook(lambda _, inputs, __: calls.append(tuple(inputs[0].shape[:2])))
    return loop, calls


def test_the_work_is_what_is_counted_for_it(calls):
    """`flop.official_*`: logits at all positions, one image at a time, the image and the prompt again for each text."""
    loop, positions = calls
    num_encoded = []
    loop.network.model.model.vision_tower.register_forward_hook(lambda _, __, output: num_encoded.append(1))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)
    with loop.open(pixels) as images:
        images.logits(QUESTIONS[0], ["aa", "ab"])
        assert positions == [(1, len(loop.prompt_ids(QUESTIONS[0])))] * 2
        positions.clear()
        images.generate(QUESTIONS[:3], rows=np.array([False, True]), max_new_tokens=1)
    assert positions == [(1, len(loop.prompt_ids(question))) for question in QUESTIONS[:3]]
    assert len(num_encoded) == 2 + 3
