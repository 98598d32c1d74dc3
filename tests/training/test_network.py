import pytest
import torch
from PIL import Image

from artimuse.configs.limits import DecodeLimits
from artimuse.configs.presets import nano_score_finetune, paper_score_finetune, paper_text_pretrain
from artimuse.errors import BadInput
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network, read_spec
from artimuse.model.template import DEFAULT_SYSTEM_MESSAGE
from artimuse.training.data.collate import BatchMaker
from artimuse.training.data.examples import Example
from artimuse.training.network import TrainedNetwork, optimizer_groups, read_base

CPU = torch.device("cpu")


# The last has sequences of one question each, of different lengths and without a mask.
@pytest.mark.parametrize("order", [(0, 1, 1, 0), (0, 0, 1, 0), (0, 0, 0, 0), (0, 1, 0, 1)])
def test_an_image_read_once_for_several_questions_gives_the_loss_of_each_on_its_own(tmp_path, order):
    checkpoint = find_checkpoint("nano")
    spec = read_spec(checkpoint)
    paths = [tmp_path / f"{shade}.png" for shade in (40, 200)]
    for path in paths:
        Image.new("RGB", (20, 20), (int(path.stem), 90, 30)).save(path)
    maker = BatchMaker(lambda question: spec.template.token_ids(spec.tokenizer, question), DecodeLimits())
    examples = [
        Example("id", str(paths[i]), f"Question {number}?", [5 + i, 9] * (1 + number), None)
        for number, i in enumerate(order)
    ]
    network = TrainedNetwork(spec, paper_score_finetune("", ""), dtype=torch.float32, device=CPU).eval()
    together, logits_LV = network(maker.batch(examples))
    assert len(maker.batch(examples).pixels_IHWC) == len(set(order))
    alone = [network(maker.batch([example])) for example in examples]
    torch.testing.assert_close(together, torch.stack([loss for loss, _ in alone]).sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits_LV, torch.cat([logits for _, logits in alone]), rtol=1e-4, atol=1e-4)
    torch.stack([loss for loss, _ in alone]).sum().backward()
    expected = {name: weight.grad.clone() for name, weight in network.trained()}
    network.zero_grad()
    network(maker.batch(examples))[0].backward()
    for name, weight in network.trained():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-3, atol=1e-4)


def test_the_prompt_of_the_paper_stages_begins_as_internvl_trains_it_and_may_begin_otherwise():
    base = read_spec(find_checkpoint("nano")).template.system_message
    for preset, overrides, message in (
        (paper_text_pretrain, {}, DEFAULT_SYSTEM_MESSAGE),
        (paper_score_finetune, {}, DEFAULT_SYSTEM_MESSAGE),
        (nano_score_finetune, {}, base),
        (paper_score_finetune, {"system_message": "base"}, base),
        (paper_score_finetune, {"system_message": "Be strict."}, "Be strict."),
    ):
        spec = read_base(preset("", "", **{"base": "nano", **overrides}))
        assert spec.template.prompt("?").startswith(f"<|im_start|>system\n{message}<|im_end|>\n")


def test_a_system_message_with_a_token_of_the_prompt_is_refused():
    with pytest.raises(BadInput, match=r"--system-message: has <\|im_end\|> in it"):
        read_base(paper_score_finetune("", "", base="nano", system_message="Be strict.<|im_end|>"))


@pytest.mark.parametrize(
    ("rates", "vision", "projector"),
    [((None, None), 1.0, 1.0), ((1e-6, None), 0.05, 1.0), ((None, 2e-6), 1.0, 0.1), ((1e-6, 2e-6), 0.05, 0.1)],
)
def test_vision_encoder_and_projector_may_learn_at_rates_of_their_own(rates, vision, projector):
    config = paper_score_finetune(
        "", "", weight_decay=0.1, vision_learning_rate=rates[0], projector_learning_rate=rates[1]
    )
    relative = {"vision_tower": vision, "multi_modal_projector": projector}
    network = TrainedNetwork(read_spec(find_checkpoint("nano")), config, dtype=torch.float32, device=CPU)
    names = {id(parameter): name for name, parameter in network.trained()}
    found = {}
    for group in optimizer_groups(network, config):
        for parameter in group["params"]:
            found[names[id(parameter)]] = (group["relative_rate"], group["weight_decay"])
    assert found == {
        name: (
            pytest.approx(relative.get(name.split(".")[1], 1.0)),
            0.1 if parameter.ndim >= 2 else 0.0,
        )
        for name, parameter in network.trained()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_trained_is_that_of_inference_bit_by_bit(dtype):
    """Rotary frequencies among it, which stay in float32 whatever the weights are in."""
    checkpoint = find_checkpoint("nano")
    trained = TrainedNetwork(read_spec(checkpoint), paper_score_finetune("", ""), dtype=dtype, device=CPU)
    expected = load_network(checkpoint, dtype=dtype, device="cpu").model
    buffers = dict(trained.model.named_buffers())
    for name, buffer in expected.named_buffers():
        assert buffers[name].dtype == buffer.dtype
        assert torch.equal(buffers[name], buffer)
    for name, weight in trained.model.named_parameters():
        assert weight.dtype == dtype
        if "lora" not in name:
            assert torch.equal(weight, expected.get_parameter(name.replace(".base_layer", "")))


@pytest.mark.parametrize("language_model", ["lora", "full"])
@pytest.mark.parametrize(
    "train", [("vision",), ("projector",), ("vision", "projector"), ("projector", "language"), ("language",)]
)
def test_parts_that_are_not_named_do_not_learn(language_model, train):
    config = paper_score_finetune("", "", train=train, language_model=language_model)
    network = TrainedNetwork(read_spec(find_checkpoint("nano")), config, dtype=torch.float32, device=CPU)
    names = {name for name, _ in network.trained()}
    where = {"vision_tower": "vision", "multi_modal_projector": "projector"}
    assert {where.get(name.split(".")[1], "language") for name in names} == set(train)
    optimized = [parameter for group in optimizer_groups(network, config) for parameter in group["params"]]
    assert {id(parameter) for parameter in optimized} == {id(parameter) for _, parameter in network.trained()}


def test_new_tokens_need_the_language_model():
    with pytest.raises(BadInput, match=r"--train vision: --strategy expanded_25 adds tokens.*add language"):
        read_base(paper_score_finetune("", "", base="nano", strategy="expanded_25", train=("vision",)))


@pytest.mark.parametrize(
    ("language_model", "trains"), [("lora", ("vision_tower", "projector", "lora_")), ("full", ("",))]
)
def test_the_stages_train_what_they_say(language_model, trains):
    config = paper_score_finetune("", "", language_model=language_model)
    network = TrainedNetwork(read_spec(find_checkpoint("nano")), config, dtype=torch.float32, device=CPU)
    names = [name for name, _ in network.model.named_parameters()]
    moving = {name for name, parameter in network.model.named_parameters() if parameter.requires_grad}
    assert moving == {name for name in names if any(part in name for part in trains)}
    adapters = {name.rpartition(".lora_")[0] for name in names if "lora_" in name}
    assert {name.rpartition(".")[2] for name in adapters} == (
        {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
        if language_model == "lora"
        else set()
    )
