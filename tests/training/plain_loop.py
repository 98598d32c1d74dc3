"""The text stage as a plain loop on one process: what the trainer has to agree with."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional
from transformers import get_cosine_schedule_with_warmup

from artimuse.configs.limits import DecodeLimits
from artimuse.configs.presets import paper_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.images.decode import decode
from artimuse.model.find import find_checkpoint
from artimuse.model.load import Network, load_network
from artimuse.training.data.examples import Example, Examples
from artimuse.training.data.sampler import Sampler
from tests.training.small import LOSS, SMALL, history, tensors
from tests.training.tables import NUM_TEXTS


def five_steps(table: str, output: Path, **overrides: Any) -> TrainConfig:
    """Accumulation, a smaller last step, weight decay, two questions about each image together, and learning rates of
    their own for vision encoder and projector."""
    own = {"lora_dropout": 0.0, "keep_checkpoints": 9, "checkpoint_steps": 1, "questions_together": NUM_TEXTS}
    rates = {"vision_learning_rate": 2e-4, "projector_learning_rate": 5e-4}
    return paper_text_pretrain(table, str(output), **{**SMALL, **own, **rates, **overrides})


def assert_steps_of_a_plain_loop(config: TrainConfig) -> None:
    """Weights and gradients (through Adam's moments)."""
    output = Path(config.output)
    expected = plain_loop(config, Examples(output / "examples" / "train.arrow"))
    assert len(expected) == 5
    for step, (loss, weights, first_moments) in enumerate(expected, 1):
        found = tensors(output, step)
        assert history(output)[step - 1]["loss"] == pytest.approx(loss, **LOSS)
        assert {name for name in found if "|" not in name} == weights.keys()
        for name, weight in weights.items():
            # A step moves a weight by about 1e-3; where the gradient is nothing but rounding, Adam makes it a step too.
            torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=5e-5)
            torch.testing.assert_close(found[f"{name}|exp_avg"], first_moments[name], rtol=1e-3, atol=1e-5)


class Step(NamedTuple):
    """After a step: its loss, and by name the weights and Adam's first moments."""

    loss: float
    weights: dict[str, torch.Tensor]
    first_moments: dict[str, torch.Tensor]


def plain_loop(config: TrainConfig, examples: Examples) -> list[Step]:
    """The whole batch at once, logits of all tokens, peft's own wrapper."""
    network = load_network(find_checkpoint("nano"), dtype=torch.float32, device="cpu")
    torch.manual_seed(config.seed)
    model = with_adapters(network)
    named = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    optimizer = torch.optim.AdamW(parameter_groups(named, config), betas=(0.9, 0.999))
    starts = examples.group_starts(config.questions_together)
    lengths = examples.lengths(lambda question: network.template.token_ids(network.tokenizer, question))
    sampler = Sampler(lengths, config.batch_size, config.epochs, config.seed, starts_G=starts)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.03 * sampler.num_steps), sampler.num_steps)
    found = []
    for step in range(sampler.num_steps):
        loss = loss_of(model, network, [examples[int(number)] for number in sampler.examples(step)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(named.values(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        weights = {name: parameter.detach().clone() for name, parameter in named.items()}
        moments = {name: optimizer.state[parameter]["exp_avg"].clone() for name, parameter in named.items()}
        found.append(Step(loss.item(), weights, moments))
    return found


def with_adapters(network: Network) -> PeftModel:
    model = get_peft_model(
        network.model,
        LoraConfig(
            r=4,
            lora_alpha=8,
            lora_dropout=0.0,
            target_modules=r".*language_model\.layers.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        ),
    )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or "vision_tower" in name or "multi_modal_projector" in name)
    return model.train()


def parameter_groups(named: dict[str, torch.nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    rates = {
        "vision_tower": config.vision_learning_rate,
        "multi_modal_projector": config.projector_learning_rate,
    }
    return [
        {
            "params": [parameter],
            "weight_decay": config.weight_decay if parameter.ndim >= 2 else 0.0,
            "lr": next((rate for part, rate in rates.items() if part in name), config.learning_rate),
        }
        for name, parameter in named.items()
    ]


def loss_of(model: PeftModel, network: Network, batch: list[Example]) -> torch.Tensor:
    rows = [network.template.token_ids(network.tokenizer, e.question) + list(e.answer_ids) for e in batch]
    width = max(map(len, rows))
    token_ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = torch.full_like(token_ids, -100)
    for i, (row, example) in enumerate(zip(rows, batch)):
        first = len(row) - len(example.answer_ids)
        labels[i, first : len(row)] = token_ids[i, first : len(row)]
    pixels = torch.stack([pixel_values(example.uri) for example in batch])
    logits = model(input_ids=token_ids, attention_mask=mask, pixel_values=pixels).logits
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def pixel_values(uri: str) -> torch.Tensor:
    pixels = torch.from_numpy(decode(Path(uri).read_bytes(), DecodeLimits()).pixels_HWC.copy()).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]
