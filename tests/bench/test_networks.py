import numpy as np
import pytest
import torch

from artimuse.bench import networks
from artimuse.bench.networks import PRESETS, random_network
from artimuse.configs.engine import EngineConfig
from artimuse.engines.exact import ExactEngine
from artimuse.engines.transformers import TransformersEngine
from artimuse.errors import BadCheckpoint
from artimuse.model.build import empty_model
from artimuse.model.load import Network
from artimuse.scoring.tokens import ORDERED_100

CPU = torch.device("cpu")


def make_small(dtype: torch.dtype = torch.float32) -> Network:
    return random_network("random:small", dtype=dtype, device=CPU)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    config = networks._config(vision_layers=1, hidden=32, layers=2, heads=4, intermediate=64)
    monkeypatch.setitem(PRESETS, "small", config)


# Of 8B as in the published checkpoints; 1B is on its model card as 938 M.
@pytest.mark.parametrize(("name", "num_parameters"), [("internvl3-8b", 7_944_373_760), ("internvl3-1b", 938_193_024)])
def test_published_sizes_have_their_number_of_parameters(name, num_parameters):
    assert sum(parameter.numel() for parameter in empty_model(PRESETS[name]).parameters()) == num_parameters


def test_weights_are_the_same_each_time_and_leave_the_generator_alone():
    before = torch.get_rng_state()
    first, second = (make_small().model.state_dict() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=0, atol=0)


def test_the_network_is_ready_for_inference_in_the_wanted_dtype():
    model = make_small(torch.bfloat16).model
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.lm_head.weight.is_set_to(model.get_input_embeddings().weight)


@pytest.mark.parametrize("engine_class", [TransformersEngine, ExactEngine])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_engines_run_it_to_finite_and_different_answers(engine_class, dtype):
    engine = engine_class(EngineConfig(device="cpu", dtype=dtype), make_small(getattr(torch, dtype)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)
    with engine.open(pixels) as images:
        logits_BK = images.logits(ORDERED_100.question, ORDERED_100.candidates)
        [[text], _] = images.generate(["Why?"], rows=np.ones(2, dtype=np.bool_), max_new_tokens=3)
    assert np.isfinite(logits_BK).all()
    assert logits_BK.std() > 0.1
    assert len(text.token_ids) == 3


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(BadCheckpoint, match="random:internvl3-8b"):
        random_network("random:internvl4", dtype=torch.float32, device=CPU)
