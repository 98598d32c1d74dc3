"""The built-in engine with the language model's matrices in 8 bits. CPUs compute it too, so it needs no GPU here."""

import numpy as np
import pytest
import torch

from artimuse.configs.engine import DType, EngineConfig
from artimuse.engines.linear import refuse_without_fp8
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import EngineFailed
from artimuse.interfaces import FloatArray, PixelArray
from artimuse.scoring import STRATEGIES

STRATEGY = STRATEGIES["ordered_100"]


def make_engine(dtype: DType) -> TransformersEngine:
    return TransformersEngine(EngineConfig(model="nano", device="cpu", dtype=dtype))


def scores_of(engine: TransformersEngine, pixels_BHWC: PixelArray) -> FloatArray:
    with engine.open(pixels_BHWC) as images:
        return STRATEGY.ask(images).mean_B


@pytest.fixture(scope="module")
def pixels() -> PixelArray:
    return np.random.default_rng(0).integers(0, 256, (3, 448, 448, 3), dtype=np.uint8)


def test_eight_bits_score_and_describe_nearly_as_sixteen(pixels):
    """On this small network 8 bits are felt; its own precision says so."""
    engine = make_engine("fp8")
    assert engine.precision == {"device": "cpu", "dtype": "fp8"}
    scores_B = scores_of(engine, pixels)
    with engine.open(pixels) as images:
        [[text]] = images.generate(["Why?"], rows=np.arange(3) == 1, max_new_tokens=8)
    expected_B = scores_of(make_engine("bfloat16"), pixels)
    assert 0 < np.abs(scores_B - expected_B).max() < 5
    assert 0 < len(text.token_ids) <= 8


def test_a_network_that_fp8_has_taken_over_is_refused():
    network = make_engine("fp8").network
    config = EngineConfig(model="nano", device="cpu", dtype="bfloat16")
    with pytest.raises(TypeError, match="an engine in fp8 has taken over this network"):
        TransformersEngine(config, network)


@pytest.mark.parametrize("name", ["exact", "vllm", "fake"])
def test_only_this_engine_has_fp8(name):
    with pytest.raises(ValueError, match=f"dtype fp8 is for engine transformers; {name} does not have it"):
        EngineConfig(name=name, model="nano", dtype="fp8")


def test_a_gpu_without_fp8_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    with pytest.raises(EngineFailed, match=r"--dtype fp8: NVIDIA A100 does not compute in 8 bits.*8\.9"):
        refuse_without_fp8(torch.device("cuda"))
    refuse_without_fp8(torch.device("cpu"))
