"""The network as it is trained: which weights move, and the loss of a micro-batch (paper section 4.3)."""

# R packed sequences, I images of H by W pixels in C = 3 channels, N image tokens, S tokens, L answer tokens of all
# examples, V vocabulary, D hidden size
from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional

from artimuse.configs.train import TrainConfig
from artimuse.engines.pixels import normalize
from artimuse.errors import BadInput
from artimuse.model.build import empty_model, fill
from artimuse.model.find import Checkpoint, find_checkpoint
from artimuse.model.load import CheckpointSpec, read_spec
from artimuse.model.template import DEFAULT_SYSTEM_MESSAGE, SPECIAL_TOKENS
from artimuse.scoring import STRATEGIES
from artimuse.training.activations import MemoryPlan, compute_again
from artimuse.training.data.collate import Batch
from artimuse.training.data.packing import IGNORED, PackedBatch
from artimuse.training.layers import Kept, adapt_layers
from artimuse.training.loss import SummedCrossEntropy
from artimuse.training.vocabulary import NEW_ROWS, extend_vocabulary

ADAPTED = r"model\.language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
"""Layers of the language model that get an adapter: all of them, as in the official training of InternVL3."""
VISION = "model.vision_tower."
PROJECTOR = "model.multi_modal_projector."
LORA_A, LORA_B = ".lora_A.default.weight", ".lora_B.default.weight"
BASE_LAYER = ".base_layer"


def read_base(config: TrainConfig, checkpoint: Checkpoint | None = None) -> CheckpointSpec:
    """What a run starts from: the base, with the run's system message and the tokens that its strategy adds.

    Raises BadCheckpoint if there is no such base, or none that can be loaded; BadInput if the system message has a
    token of the prompt's own in it, or if the strategy adds tokens whose rows are not to be trained.
    """
    spec = read_spec(checkpoint or find_checkpoint(config.base))
    if config.system_message != "base":
        spec = spec.with_system_message(_system_message(config))
    if config.targets in ("scores", "both"):
        spec = spec.with_tokens(STRATEGIES[config.strategy].new_tokens)
        if spec.first_new_id is not None and "language" not in config.train:
            raise BadInput(
                f"--train {','.join(config.train)}: --strategy {config.strategy} adds tokens, which are part of the"
                " language model; add language, or choose a strategy without new tokens"
            )
    return spec


def _system_message(config: TrainConfig) -> str:
    if config.system_message == "internvl":
        return DEFAULT_SYSTEM_MESSAGE
    if found := [token for token in SPECIAL_TOKENS if token in config.system_message]:
        raise BadInput(f"--system-message: has {found[0]} in it, which is a token of the prompt itself; leave it out")
    return config.system_message


class TrainedNetwork(nn.Module):
    """The loss of a micro-batch; what is inside is transformers' network with peft's adapters.

    With adapters the layers of the language model have a forward pass of their own (`layers.py`).
    """

    def __init__(self, spec: CheckpointSpec, config: TrainConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        """Reads the weights. The adapters begin with the same values on every worker, and add nothing at first."""
        super().__init__()
        self.model = empty_model(spec.config)
        fill(self.model, spec.weights(dtype, device), device)
        self.has_adapters = config.has_adapters
        if self.has_adapters:
            torch.manual_seed(config.seed)
            inject_adapter_in_model(lora_config(config), self.model)
            if spec.first_new_id is not None:
                extend_vocabulary(self.model, spec.first_new_id)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(_is_trained(name, config))
        text: Any = self.model.model.language_model
        self.kept = Kept(0 if config.gradient_checkpointing else len(text.layers))
        self.plan = MemoryPlan(self.model, self.kept) if config.gradient_checkpointing else None
        if self.has_adapters:
            adapt_layers(self.model, self.kept)
        if config.gradient_checkpointing:
            compute_again(self.model.model.vision_tower.encoder.layer)
            if not self.has_adapters:
                compute_again(text.layers)
        for parameter in self.model.parameters():
            # Not the buffers: rotary frequencies stay in float32, as they are in inference.
            parameter.data = parameter.data.to(device, dtype)
        self.train()

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names, without peft's own parts but for the adapters', and the weights that move."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                yield name.replace(BASE_LAYER, ""), parameter

    def layers(self) -> Iterator[nn.Module]:
        """What ZeRO-3 gathers as a whole, since layers read parameters outside of the modules that own them."""
        yield from self.model.model.vision_tower.encoder.layer
        yield from self.model.model.language_model.layers

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the cross entropies of all answer tokens, in float32, and their logits (L, V), without gradients.

        Each image is encoded once, what questions about it share is read once, and only the hidden states that an
        answer token is predicted from go through the output layer.
        """
        embeddings_IND = self.model.get_image_features(
            pixel_values=normalize(batch.pixels_IHWC, self.model.dtype),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        ).pooler_output
        packed = batch.packed
        is_image_RS1 = (packed.token_ids_RS == self.model.config.image_token_id)[..., None]
        inputs_RSD = self.model.get_input_embeddings()(packed.token_ids_RS)
        inputs_RSD = inputs_RSD.masked_scatter(is_image_RS1, embeddings_IND[batch.images_R])
        labels_RS = functional.pad(packed.labels_RS[:, 1:], (0, 1), value=IGNORED)
        answers_RS = labels_RS != IGNORED
        logits_LV = self.model.lm_head(self._read(inputs_RSD, packed, answers_RS))
        loss: torch.Tensor = SummedCrossEntropy.apply(logits_LV, labels_RS[answers_RS])  # type: ignore[no-untyped-call]
        return loss, logits_LV.detach()

    def _read(self, inputs_RSD: torch.Tensor, packed: PackedBatch, answers_RS: torch.Tensor) -> torch.Tensor:
        """Hidden states (L, D) of the tokens that an answer token is predicted from."""
        text = self.model.model.language_model
        if not self.has_adapters:
            hidden_RSD: torch.Tensor = text(
                inputs_embeds=inputs_RSD,
                attention_mask=packed.mask,
                position_ids=packed.positions_RS,
                use_cache=False,
            ).last_hidden_state
            return hidden_RSD[answers_RS]
        if self.plan:
            has_mask, num_answer_tokens = packed.mask is not None, int(answers_RS.sum())
            self.plan.decide(answers_RS.numel(), num_answer_tokens, has_mask=has_mask, device=inputs_RSD.device)
        positions_RS = packed.positions_RS
        if positions_RS is None:
            positions_RS = torch.arange(inputs_RSD.shape[1], device=inputs_RSD.device)[None]
        others = {"attention_mask": packed.mask, "position_embeddings": text.rotary_emb(inputs_RSD, positions_RS)}
        *layers, last = text.layers
        hidden = inputs_RSD
        for layer in layers:
            hidden = layer(hidden, **others)
        normed_LD: torch.Tensor = text.norm(last(hidden, answers_BS=answers_RS, **others))
        return normed_LD


def _is_trained(name: str, config: TrainConfig) -> bool:
    """Vision encoder and projector are trained in full; of the language model the adapters and the new rows, or all."""
    if name.startswith(VISION):
        return "vision" in config.train
    if name.startswith(PROJECTOR):
        return "projector" in config.train
    is_whole = config.language_model == "full"
    return "language" in config.train and (is_whole or name.endswith((LORA_A, LORA_B, NEW_ROWS)))


def lora_config(config: TrainConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout, target_modules=ADAPTED
    )


def optimizer_groups(network: TrainedNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and scales do not. `relative_rate` is a factor on every step's learning rate."""
    rates = {VISION: config.vision_rate, PROJECTOR: config.projector_rate}
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for name, parameter in network.trained():
        is_matrix = parameter.ndim >= 2
        rate = next((rate for start, rate in rates.items() if name.startswith(start)), config.learning_rate)
        settings = {
            "weight_decay": config.weight_decay if is_matrix else 0.0,
            "relative_rate": rate / config.learning_rate,
        }
        groups.setdefault((is_matrix, rate), {"params": [], **settings})["params"].append(parameter)
    return list(groups.values())
