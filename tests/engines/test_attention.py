import pytest
import torch
from torch.nn import functional

from artimuse.engines.attention import attend_causal, attend_everywhere

ATTENTIONS = {"causal": attend_causal, "everywhere": attend_everywhere}


@pytest.mark.parametrize("num_tokens", [1, 128, 300])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_in_16_bits_is_that_of_the_fused_kernel_in_float32(name: str, num_tokens: int):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, num_tokens, heads, 32, generator=generator).bfloat16().transpose(1, 2) for heads in (6, 2, 2)
    )
    expected = functional.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), is_causal=name == "causal", enable_gqa=True
    )
    attended = ATTENTIONS[name](q, k, v)
    assert attended.shape == q.shape
    torch.testing.assert_close(attended.float(), expected, atol=0.02, rtol=0.02)
