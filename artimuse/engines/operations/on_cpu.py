"""The operations in PyTorch: what they are, for CPUs and for the tests of the kernels. See `Operations`."""

import torch
from torch.nn import functional

from artimuse.engines.linear import Input, RowScaled
from artimuse.engines.operations import LayerMemory, Norm, Rows


def add_norm(
    hidden: torch.Tensor,
    delta: torch.Tensor | None,
    norm: Norm,
    *,
    gain: torch.Tensor | None = None,
    in_fp8: bool = False,
) -> tuple[torch.Tensor, Input]:
    if delta is not None:
        hidden = hidden + delta if gain is None else torch.addcmul(hidden, delta, gain)
    shape = norm.weight.shape
    if norm.bias is None:
        normed = functional.rms_norm(hidden, shape, norm.weight, norm.epsilon)
    else:
        normed = functional.layer_norm(hidden, shape, norm.weight, norm.bias, norm.epsilon)
    return hidden, RowScaled.of(normed) if in_fp8 else normed


def swiglu(gate_up: torch.Tensor, *, in_fp8: bool) -> Input:
    gate, up = gate_up.chunk(2, dim=-1)
    # In place: by far the largest tensor of the pass, and writing it costs as much as multiplying.
    product = functional.silu(gate).mul_(up)
    return RowScaled.of(product) if in_fp8 else product


def in_fp8(hidden: torch.Tensor) -> Input:
    return RowScaled.of(hidden)


def rotate(
    heads: torch.Tensor,
    num_rotated: int,
    cos: torch.Tensor,
    sin: torch.Tensor,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    rotated, half = heads[:, :, :num_rotated], heads.shape[-1] // 2
    turned = torch.cat((-rotated[..., half:], rotated[..., :half]), dim=-1)
    result = heads if into is None else into
    result[:, :, :num_rotated] = rotated * cos[:, None] + turned * sin[:, None]
    if into is not None:
        result[:, :, num_rotated:] = heads[:, :, num_rotated:]
    return result


def attend_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, memory: LayerMemory, rows: Rows) -> torch.Tensor:
    num_rows, _, head_size = q.shape
    num_kv_heads = k.shape[1]
    width = int(rows.lengths.max()) + 1
    row_numbers = torch.arange(num_rows)
    memory.keys[row_numbers, :, rows.lengths] = k
    memory.values[row_numbers, :, rows.lengths] = v
    grouped = (q * head_size**-0.5).view(num_rows, num_kv_heads, -1, head_size)
    own = grouped @ memory.keys[:num_rows, :, :width].mT
    own.masked_fill_((torch.arange(width) > rows.lengths[:, None])[:, None, None], -torch.inf)
    shared = _for_each_image(grouped, memory.prefix_keys.mT, rows.of_image)
    weights = torch.softmax(torch.cat([shared, own], dim=-1), dim=-1)
    num_shared = shared.shape[-1]
    attended = weights[..., num_shared:] @ memory.values[:num_rows, :, :width]
    attended += _for_each_image(weights[..., :num_shared], memory.prefix_values, rows.of_image)
    return attended.flatten(1)


def _for_each_image(left: torch.Tensor, right: torch.Tensor, of_image: torch.Tensor) -> torch.Tensor:
    """Products (R, J, G, Y) of every row's (R, J, G, X) with its image's (I, J, X, Y), read once for all its rows."""
    num_images = int((of_image >= 0).any(1).nonzero().max()) + 1
    of_image = of_image[:num_images].long()
    is_row = of_image >= 0
    gathered = left[of_image.clamp(min=0)].transpose(1, 2)  # I, J, Q, G, X
    products = (gathered.flatten(2, 3) @ right[:num_images]).view(*gathered.shape[:4], -1).transpose(1, 2)
    result = left.new_zeros(*left.shape[:3], right.shape[-1])
    result[of_image[is_row]] = products[is_row]
    return result
