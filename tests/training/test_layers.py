"""The layers' own forward pass beside peft's and transformers', on nano's weights in float32."""

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch.nn import functional

from artimuse.configs.limits import DecodeLimits
from artimuse.configs.presets import paper_score_finetune
from artimuse.model.find import find_checkpoint
from artimuse.model.load import CheckpointSpec, read_spec
from artimuse.training.adapted import Dropout, project, project_backward
from artimuse.training.data.collate import Batch, BatchMaker
from artimuse.training.data.examples import Example
from artimuse.training.kernels import add_dropped_, drop
from artimuse.training.layers import Kept
from artimuse.training.network import TrainedNetwork

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def spec() -> CheckpointSpec:
    return read_spec(find_checkpoint("nano"))


@pytest.fixture(scope="module", params=["questions alone", "questions together"])
def batch(request, spec, tmp_path_factory) -> Batch:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.effect_noise((40, 30), 90).convert("RGB").save(path)
    other = path.with_name("other.png")
    Image.new("RGB", (20, 20), (200, 90, 30)).save(other)
    pictures = [path, path, other] if request.param == "questions together" else [path, other, path]
    examples = [
        Example("id", str(picture), f"Question {i}?", [5 + i, 9] * (1 + i), None) for i, picture in enumerate(pictures)
    ]
    maker = BatchMaker(lambda question: spec.template.token_ids(spec.tokenizer, question), DecodeLimits())
    return maker.batch(examples)


def network(spec: CheckpointSpec, *, dropout: float = 0.0) -> TrainedNetwork:
    """With adapters that add something."""
    config = paper_score_finetune("", "", lora_rank=4, lora_dropout=dropout)
    made = TrainedNetwork(spec, config, dtype=torch.float32, device=CPU)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in made.trained():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=generator)
    return made


def as_peft_and_transformers_have_it(made: TrainedNetwork) -> Callable[[Batch], torch.Tensor]:
    for layer in made.model.model.language_model.layers:
        del layer.forward

    def loss(batch: Batch) -> torch.Tensor:
        model, packed = made.model, batch.packed
        features = model.get_image_features(
            pixel_values=_normalized(batch.pixels_IHWC),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        ).pooler_output
        is_image = (packed.token_ids_RS == model.config.image_token_id)[..., None]
        embeddings = model.get_input_embeddings()(packed.token_ids_RS)
        hidden = model.model.language_model(
            inputs_embeds=embeddings.masked_scatter(is_image, features[batch.images_R]),
            attention_mask=packed.mask,
            position_ids=packed.positions_RS,
            use_cache=False,
        ).last_hidden_state
        logits = model.lm_head(hidden)[:, :-1]
        return functional.cross_entropy(logits.flatten(0, 1), packed.labels_RS[:, 1:].flatten(), reduction="sum")

    return loss


def _normalized(pixels_IHWC: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels_IHWC / 255 - mean) / std).permute(0, 3, 1, 2)


def gradients(made: TrainedNetwork, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    made.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in made.trained()}


@pytest.mark.parametrize("num_kept", [0, 1, 99])
def test_loss_and_gradients_are_those_of_peft_and_transformers(spec, batch, num_kept):
    ours, theirs = network(spec), network(spec)
    ours.kept.num_layers = num_kept
    loss, expected_loss = ours(batch)[0], as_peft_and_transformers_have_it(theirs)(batch)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-6, atol=1e-5)
    found, expected = gradients(ours, loss), gradients(theirs, expected_loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max() + 1))


def test_what_is_kept_changes_nothing_also_with_dropout(spec, batch):
    made = network(spec, dropout=0.3)
    found = []
    for num_kept in (0, 1, 99):
        made.kept.num_layers = num_kept
        torch.manual_seed(3)
        loss = made(batch)[0]
        found.append((loss.detach(), gradients(made, loss)))
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert all(torch.equal(gradient[name], found[0][1][name]) for name in gradient)


def test_the_seed_of_torch_says_what_dropout_leaves_out_and_inference_leaves_out_nothing(spec, batch):
    made = network(spec, dropout=0.3)
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(made(batch)[0].item())
    assert losses[0] == losses[1] != losses[2]
    assert made.eval()(batch)[0].item() == pytest.approx(network(spec)(batch)[0].item(), rel=1e-6)


def test_gradients_are_those_of_the_loss_with_the_same_inputs_left_out():
    torch.manual_seed(0)
    inputs = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(*shape, dtype=torch.float64) for shape in ((7, 6), (7,), (2, 6), (7, 2), (3, 6))]
    weights += [None, torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)]
    trained = [weights[i].requires_grad_() for i in (2, 3, 6, 7)]
    dropout, scale = Dropout(0.4, 11), 2.0
    kept = drop(torch.ones(5, 6, dtype=torch.float64), 0.4, 11) / 0.6
    assert 0 < (kept == 0).sum() < 30

    def plain(weight, bias, a, b):
        return functional.linear(inputs, weight, bias) + functional.linear(functional.linear(inputs * kept, a), b) * 2

    expected = [plain(*weights[:4]), plain(*weights[4:])]
    grads = [torch.randn_like(output) for output in expected]
    expected_grads = torch.autograd.grad(expected, [inputs, *trained], grads)
    with torch.no_grad():
        torch.testing.assert_close(project(inputs, weights, scale, dropout), [out.detach() for out in expected])
        grad_inputs, grad_weights = project_backward(grads, inputs, weights, scale, dropout)
    torch.testing.assert_close(grad_inputs, expected_grads[0])
    torch.testing.assert_close([grad_weights[i] for i in (2, 3, 6, 7)], list(expected_grads[1:]))
    assert [grad_weights[i] for i in (0, 1, 4, 5)] == [None] * 4


def test_dropout_leaves_out_about_its_share_and_the_same_again():
    ones = torch.ones(200, 300)
    dropped = drop(ones, 0.05, 7)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.05, abs=0.005)
    assert torch.equal(dropped, drop(ones, 0.05, 7))
    assert not torch.equal(dropped, drop(ones, 0.05, 8))
    total = torch.full((200, 300), 2.0)
    add_dropped_(total, ones, 3.0, 0.05, 7)
    assert torch.equal(total, 2 + 3 * dropped)


def test_without_a_gpu_no_more_is_kept_than_asked_for(spec, batch):
    made = network(spec)
    made(batch)
    assert made.kept == Kept(0)


def test_more_layers_are_kept_the_more_memory_is_free_and_never_more_than_there_are(spec, monkeypatch):
    made = network(spec)
    found = []
    for free in (0, 2e9, 3e9, 1e12):
        monkeypatch.setattr("artimuse.training.activations._free_bytes", lambda _, free=free: int(free))
        made.plan.decide(200_000, 10, has_mask=False, device=torch.device("cuda"))
        found.append(made.kept.num_layers)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, len(made.model.model.language_model.layers))
