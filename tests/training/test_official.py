"""Training beside InternVL's own code on the same checkpoint: token ids, labels, loss and gradients."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.limits import DecodeLimits
from artimuse.configs.presets import paper_score_finetune, paper_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.interfaces import Annotation
from artimuse.scoring import STRATEGIES
from artimuse.training.data.collate import Batch, BatchMaker
from artimuse.training.data.examples import Example, ExampleMaker
from artimuse.training.data.packing import pack
from artimuse.training.network import LORA_A, LORA_B, PROJECTOR, VISION, TrainedNetwork, read_base

SLUGS = {attribute.name: attribute.slug for attribute in ATTRIBUTES}
CASES = ("text1", "text3", "shared", "score")
GROUPS = {
    "vision_embeddings": f"{VISION}embeddings",
    "vision_layers": f"{VISION}encoder",
    "projector": PROJECTOR,
    "lora_A": LORA_A,
    "lora_B": LORA_B,
}
"""What the names of the weights of each group have in them."""


class Official:
    """One case: what InternVL's code was given and found, and what is made of it here."""

    def __init__(self, test_data: Path, name: str) -> None:
        fixtures = test_data / "fixtures" / "official"
        self.expected: dict[str, Any] = json.loads((fixtures / "training.json").read_text())["cases"][name]
        self.photos = test_data / "corpora" / "photos"
        preset = paper_score_finetune if name == "score" else paper_text_pretrain
        self.config: TrainConfig = preset(
            "",
            "",
            base=str(fixtures / "tiny"),
            lora_rank=self.expected["lora_rank"],
            lora_dropout=0.0,
            gradient_checkpointing=False,
        )
        self.spec = read_base(self.config)

    def examples(self) -> list[Example]:
        strategy = STRATEGIES[self.config.strategy]
        maker = ExampleMaker(
            self.spec.tokenizer,
            self.spec.template,
            strategy,
            self.config.targets,
            max_tokens=self.config.max_sequence_length,
        )
        return list(maker.examples(self._annotation(example) for example in self.expected["examples"]))

    def prompt_ids(self, question: str) -> list[int]:
        return self.spec.template.token_ids(self.spec.tokenizer, question)

    def batch(self, examples: list[Example]) -> Batch:
        return BatchMaker(self.prompt_ids, DecodeLimits()).batch(examples)

    def network(self) -> TrainedNetwork:
        """With adapters that are not zero, made as the fixture's were."""
        network = TrainedNetwork(self.spec, self.config, dtype=torch.float32, device=torch.device("cpu"))
        generator = torch.Generator().manual_seed(7)
        weights = dict(network.model.named_parameters())
        modules = sorted(name.removesuffix(LORA_A) for name in weights if name.endswith(LORA_A))
        for module in modules:
            a, b = weights[module + LORA_A].data, weights[module + LORA_B].data
            a.copy_(torch.randn(a.shape, generator=generator) / math.sqrt(a.shape[1]))
            b.copy_(torch.randn(b.shape, generator=generator) * 0.02)
        return network

    def _annotation(self, example: dict[str, Any]) -> Annotation:
        texts = {SLUGS[example["attribute"]]: example["answer"]} if "attribute" in example else {}
        return Annotation(
            image_id=example["photo"],
            uri=str(self.photos / example["photo"]),
            dataset="photos",
            split="train",
            kind="expert",
            score=example.get("score"),
            texts=texts,
        )


@pytest.fixture(params=CASES)
def official(test_data: Path, request: pytest.FixtureRequest) -> Official:
    return Official(test_data, request.param)


def test_token_ids_and_labels_are_the_same(official: Official):
    packed = [pack([official.prompt_ids(e.question)], [e.answer_ids]) for e in official.examples()]
    assert [sequence.token_ids for sequence in packed] == official.expected["input_ids"]
    assert [sequence.labels for sequence in packed] == official.expected["labels"]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft 0.21 on transformers 5.23
def test_loss_and_gradients_are_the_same(official: Official):
    network = official.network()
    batch = official.batch(official.examples())
    loss = network(batch)[0] / batch.num_answer_tokens
    loss.backward()
    assert loss.item() == pytest.approx(official.expected["loss"], abs=1e-5)
    squares = {name: weight.grad.double().square().sum().item() for name, weight in network.trained()}
    assert math.sqrt(sum(squares.values())) == pytest.approx(official.expected["grad_norm"], rel=1e-4)
    norms = {
        group: math.sqrt(sum(square for name, square in squares.items() if part in name))
        for group, part in GROUPS.items()
    }
    assert norms == pytest.approx(official.expected["group_grad_norms"], rel=1e-4)
