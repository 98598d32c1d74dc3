"""The vision encoder as the engine runs it: the weights of transformers' InternViT under a forward pass of our own.

Ours for the same reason as the language model's: what lies between the matrix products is read and written once, and
products of the same input are one product.
"""

# B images, H and W pixels, C = 3 channels, S patches and the class token, N image tokens, D hidden size
import math
from typing import Any, cast

import torch
from transformers import InternVLForConditionalGeneration

from artimuse.engines.attention import attend_everywhere
from artimuse.engines.linear import Linear
from artimuse.engines.operations import Norm, operations_on


class _Layer:
    def __init__(self, layer: Any) -> None:
        attention = layer.attention
        self.attention_norm = Norm.of(layer.layernorm_before)
        self.qkv = Linear.of([attention.q_proj, attention.k_proj, attention.v_proj])
        self.q_norm, self.k_norm = attention.q_norm, attention.k_norm
        self.out = Linear.of([attention.projection_layer])
        self.attention_gain: torch.Tensor = layer.lambda_1.data
        self.mlp_norm = Norm.of(layer.layernorm_after)
        self.up = Linear.of([layer.mlp.fc1])
        self.activation = layer.mlp.activation_fn
        self.down = Linear.of([layer.mlp.fc2])
        self.mlp_gain: torch.Tensor = layer.lambda_2.data


class VisionEncoder:
    """Pixels in, embeddings for the language model out."""

    def __init__(self, model: InternVLForConditionalGeneration) -> None:
        self.model: Any = model.model
        self.tower = self.model.vision_tower
        self.num_heads: int = self.tower.config.num_attention_heads
        self.operations = operations_on(model.device)
        self.layers = [_Layer(layer) for layer in self.tower.encoder.layer]

    def __call__(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, N, D) of normalised pixels."""
        hidden_BSD = self._encode(self.tower.embeddings(pixels_BCHW))
        patches_BSD = self.tower.layernorm(hidden_BSD)[:, 1:]
        side = math.isqrt(patches_BSD.shape[1])
        grid = patches_BSD.unflatten(1, (side, side))
        merged = self.model.pixel_shuffle(grid, scale_factor=self.model.config.downsample_ratio)
        return cast(torch.Tensor, self.model.multi_modal_projector(merged.flatten(1, 2)))

    def _encode(self, hidden_BSD: torch.Tensor) -> torch.Tensor:
        delta_BSD, gain = None, None
        for layer in self.layers:
            hidden_BSD, normed = self.operations.add_norm(hidden_BSD, delta_BSD, layer.attention_norm, gain=gain)
            q, k, v = layer.qkv(normed).chunk(3, dim=-1)
            heads = (part.unflatten(-1, (self.num_heads, -1)) for part in (layer.q_norm(q), layer.k_norm(k), v))
            attended = attend_everywhere(*(part.transpose(1, 2) for part in heads)).transpose(1, 2).flatten(2)
            hidden_BSD, normed = self.operations.add_norm(
                hidden_BSD, layer.out(attended), layer.mlp_norm, gain=layer.attention_gain
            )
            delta_BSD, gain = layer.down(layer.activation(layer.up(normed))), layer.mlp_gain
        assert delta_BSD is not None
        assert gain is not None
        return torch.addcmul(hidden_BSD, delta_BSD, gain)
