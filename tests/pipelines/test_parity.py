"""The certificate itself: how scores are compared, and what is allowed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from artimuse.configs.engine import EngineConfig
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import ParityFailed
from artimuse.pipelines.parity import TOLERANCE_16_BIT, _compared, certify, refuse_difference
from artimuse.scoring import STRATEGIES

STRATEGY = STRATEGIES["ordered_100"]
NANO = EngineConfig(model="nano", device="cpu", dtype="float32")


def compared(found: list[float], expected: list[float]) -> dict:
    return _compared(np.array(found, dtype=np.float32), np.array(expected, dtype=np.float32))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    shades = np.linspace(0, 255, 5, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(shades, (5, 448, 448, 3)).copy()


def test_equal_scores_do_not_differ():
    assert compared([10, 20, 30], [10, 20, 30]) == {
        "max_difference": 0,
        "mean_difference": 0,
        "rank_correlation": pytest.approx(1),
        "num_flips": 0,
    }


def test_the_largest_and_the_mean_difference_are_told():
    facts = compared([10, 21, 30], [10, 20, 32])
    assert (facts["max_difference"], facts["mean_difference"]) == (2, 1)


def test_images_across_a_threshold_are_counted():
    assert compared([21, 11, 29, 40], [10, 20, 30, 40])["num_flips"] == 0
    assert compared([10, 26, 24, 40], [10, 20, 30, 40])["num_flips"] == 2


def test_ranks_are_compared_only_where_scores_are_apart():
    assert compared([10.4, 10.2], [10.1, 10.9])["rank_correlation"] is None
    assert compared([10], [10])["rank_correlation"] is None
    assert compared([30, 20, 10], [10, 20, 30])["rank_correlation"] == pytest.approx(-1)


@pytest.mark.parametrize("found", [[math.nan, 20], [10, math.nan]])
def test_a_score_that_one_of_the_two_lacks_is_infinitely_far(found):
    assert compared(found, [10, 20])["max_difference"] == math.inf
    assert compared([10, 20], found)["max_difference"] == math.inf


def test_images_without_a_score_by_either_do_not_count():
    assert compared([math.nan, 20], [math.nan, 21])["max_difference"] == 1
    assert compared([math.nan], [math.nan])["max_difference"] == 0


def test_the_built_in_engine_holds_in_float32(pixels):
    certificate, engine = certify(NANO, STRATEGY, pixels)
    assert isinstance(engine, TransformersEngine)
    assert certificate.holds
    assert (certificate.num_images, certificate.tolerance, certificate.reference) == (5, 0.01, "exact")
    assert "5 images by engine exact in float32: at most" in str(certificate)


def test_sixteen_bits_are_allowed_more(pixels):
    config = EngineConfig(model="nano", device="cpu", dtype="bfloat16")
    assert certify(config, STRATEGY, pixels[:1])[0].tolerance == TOLERANCE_16_BIT == 1.0
    assert certify(config, STRATEGY, pixels[:1], tolerance=0.5)[0].tolerance == 0.5


def test_eight_bits_are_compared_with_sixteen_and_have_to_keep_the_order(pixels):
    config = EngineConfig(model="nano", device="cpu", dtype="fp8")
    certificate, _ = certify(config, STRATEGY, pixels)
    assert (certificate.dtype, certificate.reference_dtype) == ("fp8", "bfloat16")
    assert 0.01 < certificate.mean_difference <= certificate.max_difference
    assert str(certificate).startswith("fp8 beside 5 images by engine exact in bfloat16: at most")
    assert "a rank correlation of 0.98" in str(certificate)
    near = replace(certificate, max_difference=1.9, rank_correlation=0.99)
    assert near.holds
    assert not replace(near, max_difference=2.1).holds
    assert not replace(near, rank_correlation=0.97).holds
    by_hand, _ = certify(config, STRATEGY, pixels[:1], tolerance=9.0)
    assert (by_hand.tolerance, by_hand.least_correlation) == (9.0, None)
    with pytest.raises(ParityFailed, match="--parity-tolerance lets it pass"):
        refuse_difference(replace(near, rank_correlation=0.97), "fp8")


def test_eight_bits_without_a_comparison_are_refused():
    with pytest.raises(ParityFailed, match="none of the images that were looked at can be read"):
        refuse_difference(None, "fp8")
    refuse_difference(None, "bfloat16")


@pytest.mark.parametrize("name", ["fake", "exact"])
def test_an_engine_without_a_reference_has_no_certificate(name, pixels):
    with pytest.raises(ValueError, match=f"engine {name} has no reference"):
        certify(EngineConfig(name=name, model="nano"), STRATEGY, pixels)
