"""Attention as the engines compute it: PyTorch's fused kernels where they are fast, products of blocks where not."""

# B sequences, S queries, T keys, J key-value heads, G query heads for each, E head size
import torch
from torch.nn import functional

# Queries at a time, so that their weights stay in the cache of a core.
_BLOCK = 128


def attend_everywhere(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention of (B, JG, S, E) over (B, J, S, E), each token over all."""
    if _is_fused_fast(q):
        return functional.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])
    return _attend_in_blocks(q, k, v, is_causal=False)


def attend_causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention of (B, JG, S, E) over (B, J, S, E), each token over itself and those before it."""
    if _is_fused_fast(q):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return _attend_in_blocks(q, k, v, is_causal=True)


def attend_grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attention of (B, JG, S, E) over (B, J, T, E); the mask is (S, T) or (B, 1, S, T), boolean or added.

    The queries of a group become one longer sequence, so that keys and values are read once for all of them.
    """
    num_sequences, num_heads, num_queries, head_size = q.shape
    num_kv_heads = k.shape[1]
    num_groups = num_heads // num_kv_heads
    folded = q.reshape(num_sequences, num_kv_heads, num_groups * num_queries, head_size)
    tiled = mask.unsqueeze(-3).expand(*mask.shape[:-2], num_groups, *mask.shape[-2:]).flatten(-3, -2)
    attended = functional.scaled_dot_product_attention(folded, k, v, attn_mask=tiled)
    return attended.reshape(q.shape)


def _is_fused_fast(q: torch.Tensor) -> bool:
    # On CPUs the fused kernel multiplies 16-bit matrices slowly (torch 2.13).
    return q.device.type != "cpu" or q.dtype == torch.float32


def _attend_in_blocks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, is_causal: bool) -> torch.Tensor:
    num_sequences, num_heads, num_tokens, head_size = q.shape
    num_kv_heads = k.shape[1]
    num_groups = num_heads // num_kv_heads
    scaled, keys, values = q * head_size**-0.5, k.contiguous().transpose(2, 3), v.contiguous()
    attended = torch.empty_like(q)
    for i in range(num_sequences):
        for start in range(0, num_tokens, _BLOCK):
            end = min(start + _BLOCK, num_tokens)
            seen = end if is_causal else num_tokens
            block = scaled[i, :, start:end].reshape(num_kv_heads, num_groups * (end - start), head_size)
            weights = torch.bmm(block, keys[i, :, :, :seen])
            if is_causal:
                later = torch.full((end - start, end - start), -torch.inf, dtype=q.dtype).triu(1)
                weights.view(num_kv_heads, num_groups, end - start, seen)[..., start:] += later
            products = torch.bmm(torch.softmax(weights, -1), values[i, :, :seen])
            attended[i, :, start:end] = products.view(num_heads, end - start, head_size)
    return attended
