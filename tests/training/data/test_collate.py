from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import StorageProblem
from artimuse.images.decode import decode
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_spec
from artimuse.prompts import SCORE_QUESTION, attribute_question
from artimuse.training.data.collate import BatchMaker
from artimuse.training.data.examples import Example
from artimuse.training.data.packing import IGNORED

SPEC = read_spec(find_checkpoint("nano"))


def prompt_ids(question):
    return SPEC.template.token_ids(SPEC.tokenizer, question)


@pytest.fixture
def maker():
    return BatchMaker(prompt_ids, DecodeLimits())


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(path)
    return str(path)


def example(uri, question=SCORE_QUESTION, answer_ids=(5, 6)):
    return Example("id", uri, question, answer_ids, None)


@pytest.mark.parametrize("question", [SCORE_QUESTION, attribute_question(ATTRIBUTES[0])])
def test_the_prompt_is_the_one_of_inference_token_by_token(maker, picture, question):
    network = load_network(find_checkpoint("nano"), dtype=torch.float32, device="cpu")
    engine = TransformersEngine(EngineConfig(model="nano", device="cpu", dtype="float32"), network)
    [token_ids] = maker.batch([example(picture, question)]).packed.token_ids_RS.tolist()
    assert token_ids == [*engine.prompt_ids(question).tolist(), 5, 6]


def test_the_pixels_are_those_of_inference(maker, picture):
    [pixels_HWC] = maker.batch([example(picture)]).pixels_IHWC.numpy()
    assert np.array_equal(pixels_HWC, decode(Path(picture).read_bytes(), DecodeLimits()).pixels_HWC)


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.png"
    Image.new("RGB", (4, 4), "red").save(path)
    return str(path)


def test_the_loss_is_on_the_answer_only(maker, picture, other):
    short, long = example(picture, answer_ids=[5]), example(other, answer_ids=[7, 8, 9])
    batch = maker.batch([short, long])
    labels = batch.packed.labels_RS.tolist()
    length = len(prompt_ids(SCORE_QUESTION))
    assert labels[0] == [IGNORED] * length + [5, IGNORED, IGNORED]
    assert labels[1] == [IGNORED] * length + [7, 8, 9]
    assert batch.num_answer_tokens == 4


def test_neighbours_about_the_same_image_share_a_sequence(maker, picture, other):
    questions = [attribute_question(attribute) for attribute in ATTRIBUTES]
    batch = maker.batch([*(example(picture, question) for question in questions), example(other)])
    assert batch.images_R.tolist() == [0, 1]
    assert batch.num_answer_tokens == 2 * len(batch.examples) == 18
    sequence = batch.packed.token_ids_RS[0].tolist()
    assert sequence.count(SPEC.config.image_token_id) == 49
    assert len(sequence) < 0.5 * sum(len(prompt_ids(question)) + 2 for question in questions)


def test_an_image_is_read_once_for_all_examples_about_it(maker, picture, other):
    batch = maker.batch([example(picture), example(other), example(picture)])
    assert len(batch.pixels_IHWC) == 2
    assert batch.images_R.tolist() == [0, 1, 0]
    assert (batch.pixels_IHWC[1, 0, 0] == torch.tensor([255, 0, 0])).all()


def test_an_image_that_cannot_be_decoded_has_no_part_in_the_loss(maker, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    batch = maker.batch([example(str(bad)), example(picture), example(str(tmp_path / "gone.png"))])
    assert [image.error.code for image in batch.bad] == ["unsupported_format", "not_found"]
    assert (batch.packed.labels_RS[[0, 2]] == IGNORED).all()
    assert batch.num_answer_tokens == 2
    assert len(batch.examples) == 1


def test_a_piece_without_examples_still_goes_through_the_network(maker):
    batch = maker.batch([])
    assert batch.pixels_IHWC.shape == (1, 448, 448, 3)
    assert (batch.packed.labels_RS == IGNORED).all()
    assert batch.num_answer_tokens == 0


def test_batches_come_in_order(maker, picture):
    pieces = [[example(picture, answer_ids=[i])] for i in range(40)]
    assert [batch.examples[0].answer_ids for batch in maker.batches(pieces)] == [[i] for i in range(40)]


def test_an_image_that_storage_does_not_give_now_stops_instead_of_being_left_out(maker):
    with pytest.raises(StorageProblem, match="nowhere"):
        maker.batch([example("nowhere://bucket/a.png")])
