from dataclasses import replace

import pytest

from artimuse.bench.flop import (
    Arithmetic,
    Lengths,
    official_score,
    official_texts,
    shared_score,
    shared_texts,
)
from artimuse.bench.networks import PRESETS

TERA = 1e12
# A prefix of 300 tokens, 200 more for the score, 27 for each of 8 texts of 130 tokens.
LENGTHS = Lengths(prefix=300, beginning=0, score=500, texts=(327,) * 8, answer=130)


@pytest.fixture(scope="module")
def network() -> Arithmetic:
    return Arithmetic(PRESETS["internvl3-8b"])


def test_official_figures_of_internvl3_8b(network):
    """Counted by hand from the geometry when the project began."""
    score = official_score(network, LENGTHS)
    assert score / TERA == pytest.approx(7.86, rel=0.01)
    assert (score + official_texts(network, LENGTHS)) / TERA == pytest.approx(65.8, rel=0.01)


def test_shared_figures_of_internvl3_8b(network):
    """The hand count has the whole last layer, which our engine leaves out: 3 % of the score."""
    assert (network.image + network.read(LENGTHS.score)) / TERA == pytest.approx(7.31, rel=0.01)
    score = shared_score(network, LENGTHS)
    assert score / TERA == pytest.approx(7.31 * 0.97, rel=0.01)
    assert (score + shared_texts(network, LENGTHS)) / TERA == pytest.approx(25.0, rel=0.02)


def test_what_comes_before_the_image_is_not_counted(network):
    known = replace(LENGTHS, beginning=40)
    whole = network.image + network.read(500)
    without_last_layer = whole - shared_score(network, LENGTHS)
    # Of the last layer, other tokens than the answer's have keys and values only, known ones neither.
    assert shared_score(network, LENGTHS) - shared_score(network, known) == pytest.approx(
        network.read(40) - without_last_layer * 40 / 500, rel=0.01
    )


def test_reading_in_two_parts_is_as_much_as_reading_at_once(network):
    assert network.read(30) + network.read(12, past=30) == pytest.approx(network.read(42))


def test_a_single_token_costs_two_flop_per_weight_and_its_looks(network):
    looks = 4 * 1000 * 3584 * 28
    assert network.read(1, past=999) + network.head(1) == 2 * network.weights_per_token + looks
    # All weights but the input embeddings, biases and norms; hidden 3584, vocabulary 151674.
    assert network.weights_per_token == pytest.approx(7_944_373_760 - 304e6 - 27.5e6 - 3584 * 151_674, rel=1e-3)
