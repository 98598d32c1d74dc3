"""vLLM's CPU kernels take attention heads of 32 values and more (vLLM 0.32); those of the small models have 16."""

# S tokens, J heads, E head size
import torch
from torch.nn import functional
from vllm.model_executor.layers.attention import Attention

SMALLEST_HEAD = 32


class WideAttention(Attention):
    """Fills heads up with zeros, which changes no product of queries and keys, and cuts them off again."""

    def __init__(self, num_heads: int, head_size: int, scale: float, **options) -> None:
        super().__init__(num_heads, max(head_size, SMALLEST_HEAD), scale, **options)
        self.narrow_size = head_size

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        attended_SW = super().forward(*(self._widened(part) for part in (query, key, value)))
        attended_SJE = attended_SW.view(len(attended_SW), -1, self.head_size)
        return attended_SJE[..., : self.narrow_size].flatten(1)

    def _widened(self, part: torch.Tensor) -> torch.Tensor:
        heads_SJE = part.view(len(part), -1, self.narrow_size)
        return functional.pad(heads_SJE, (0, self.head_size - self.narrow_size)).flatten(1)
