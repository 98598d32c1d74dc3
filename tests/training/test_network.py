import pytest
import torch

from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_blueprint
from artimuse.presets import paper_score_finetune
from artimuse.training.network import TrainedNetwork

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_trained_is_that_of_inference_bit_by_bit(dtype):
    """Rotary frequencies among it, which stay in float32 whatever the weights are in."""
    checkpoint = find_checkpoint("nano")
    trained = TrainedNetwork(read_blueprint(checkpoint), paper_score_finetune("", ""), dtype=dtype, device=CPU)
    expected = load_network(checkpoint, dtype=dtype, device="cpu").model
    buffers = dict(trained.model.named_buffers())
    for name, buffer in expected.named_buffers():
        assert buffers[name].dtype == buffer.dtype
        assert torch.equal(buffers[name], buffer)
    for name, weight in trained.model.named_parameters():
        assert weight.dtype == dtype
        if "lora" not in name:
            assert torch.equal(weight, expected.get_parameter(name.replace(".base_layer", "")))


@pytest.mark.parametrize(
    ("language_model", "trains"), [("lora", ("vision_tower", "projector", "lora_")), ("full", ("",))]
)
def test_the_stages_train_what_they_say(language_model, trains):
    config = paper_score_finetune("", "", language_model=language_model)
    network = TrainedNetwork(read_blueprint(find_checkpoint("nano")), config, dtype=torch.float32, device=CPU)
    names = [name for name, _ in network.model.named_parameters()]
    moving = {name for name, parameter in network.model.named_parameters() if parameter.requires_grad}
    assert moving == {name for name in names if any(part in name for part in trains)}
    adapters = {name.rpartition(".lora_")[0] for name in names if "lora_" in name}
    assert {name.rpartition(".")[2] for name in adapters} == (
        {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
        if language_model == "lora"
        else set()
    )
