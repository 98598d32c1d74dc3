"""Rows for new tokens, trained beside a vocabulary that is not: a few thousand weights instead of a billion."""

# B examples, S tokens, D hidden size, V known tokens, N new ones
from typing import Any

import torch
from torch import nn
from torch.nn import functional

NEW_ROWS = "new_rows"
"""What their weights are called in their module."""


class ExtendedEmbedding(nn.Module):
    """An embedding whose last rows are weights of their own."""

    def __init__(self, base_layer: nn.Embedding, first: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.first = first
        self.new_rows = nn.Parameter(base_layer.weight[first:].detach().clone())

    def forward(self, token_ids_BS: torch.Tensor) -> torch.Tensor:
        new_BS = (token_ids_BS - self.first).clamp(min=0)
        own_BSD = functional.embedding(new_BS, self.new_rows)
        return torch.where((token_ids_BS >= self.first)[..., None], own_BSD, self.base_layer(token_ids_BS))


class ExtendedHead(nn.Module):
    """An output layer whose last rows are weights of their own."""

    def __init__(self, base_layer: nn.Linear, first: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.first = first
        self.new_rows = nn.Parameter(base_layer.weight[first:].detach().clone())

    def forward(self, hidden_BSD: torch.Tensor) -> torch.Tensor:
        known = self.base_layer(hidden_BSD)[..., : self.first]
        return torch.cat([known, functional.linear(hidden_BSD, self.new_rows)], dim=-1)


def extend_vocabulary(model: Any, first: int) -> None:
    """Gives a network whose rows from `first` on are new an embedding and an output layer with rows of their own."""
    text = model.model.language_model
    is_tied = model.lm_head.weight is text.embed_tokens.weight
    text.embed_tokens = ExtendedEmbedding(text.embed_tokens, first)
    model.lm_head = ExtendedHead(model.lm_head, first)
    if is_tied:
        model.lm_head.new_rows = text.embed_tokens.new_rows
