"""Attention of texts in flight, in two kernels: all rows about an image over its prefix, then each over its own.

The prefix is read once for all texts about an image. What a row saw of it (a sum that is not divided yet, the largest
score and the sum of the weights) is where the second kernel goes on: the usual softmax of one pass.
"""

import triton
import triton.language as tl


@triton.jit
def _attend_block(queries, keys, values, is_there, peak, total, seen, scale):
    """Adds a block of keys (N, E) and values to what queries (M, E) have seen."""
    scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
    scores = tl.where(is_there[None], scores, -float("inf"))
    new_peak = tl.maximum(peak, tl.max(scores, 1))
    weights = tl.exp(scores - new_peak[:, None])
    before = tl.exp(peak - new_peak)
    seen = seen * before[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    return new_peak, total * before + tl.sum(weights, 1), seen


@triton.jit
def _attend_one(queries, key, value, peak, total, seen, scale):
    """Adds a single key and value (E,) to what queries (M, E) have seen."""
    score = tl.sum(queries.to(tl.float32) * key.to(tl.float32)[None], 1) * scale
    new_peak = tl.maximum(peak, score)
    weight, before = tl.exp(score - new_peak), tl.exp(peak - new_peak)
    seen = seen * before[:, None] + weight[:, None] * value.to(tl.float32)[None]
    return new_peak, total * before + weight, seen


@triton.jit
def attend_prefix(
    q,
    q_stride,
    keys,
    values,
    of_image,
    partial,
    peaks,
    sums,
    num_tokens,
    num_questions,
    scale,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    GROUP_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    SIZE: tl.constexpr,
    KEYS: tl.constexpr,
):
    image, kv_head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    tile = tl.arange(0, ROWS * GROUP_TILE)
    question, group = tl.program_id(2) * ROWS + tile // GROUP_TILE, tile % GROUP_TILE
    row = tl.load(of_image + image * num_questions + question, question < num_questions, other=-1).to(tl.int64)
    is_query = (row >= 0) & (group < GROUPS)
    e = tl.arange(0, SIZE)
    head = kv_head * GROUPS + group
    queries = tl.load(q + row[:, None] * q_stride + head[:, None] * SIZE + e[None], is_query[:, None], other=0.0)
    peak = tl.full([ROWS * GROUP_TILE], -float("inf"), tl.float32)
    total = tl.zeros([ROWS * GROUP_TILE], tl.float32)
    seen = tl.zeros([ROWS * GROUP_TILE, SIZE], tl.float32)
    first = (image * (HEADS // GROUPS) + kv_head) * num_tokens
    # Places without an image have nothing to read.
    end = tl.where(tl.max(row, 0) >= 0, num_tokens, 0)
    for start in range(0, end, KEYS):
        n = start + tl.arange(0, KEYS)
        is_there = n < num_tokens
        places = (first + n)[:, None] * SIZE + e[None]
        k = tl.load(keys + places, is_there[:, None], other=0.0)
        v = tl.load(values + places, is_there[:, None], other=0.0)
        peak, total, seen = _attend_block(queries, k, v, is_there, peak, total, seen, scale)
    tl.store(partial + (row * HEADS + head)[:, None] * SIZE + e[None], seen, is_query[:, None])
    tl.store(peaks + row * HEADS + head, peak, is_query)
    tl.store(sums + row * HEADS + head, total, is_query)


@triton.jit
def attend_own(
    q,
    k,
    v,
    q_stride,
    k_stride,
    v_stride,
    keys,
    values,
    lengths,
    partial,
    peaks,
    sums,
    attended,
    width,
    scale,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    GROUP_TILE: tl.constexpr,
    SIZE: tl.constexpr,
    KEYS: tl.constexpr,
):
    row, kv_head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    group, e = tl.arange(0, GROUP_TILE), tl.arange(0, SIZE)
    is_query = group < GROUPS
    head = kv_head * GROUPS + group
    queries = tl.load(q + row * q_stride + head[:, None] * SIZE + e[None], is_query[:, None], other=0.0)
    peak = tl.load(peaks + row * HEADS + head, is_query, other=0.0)
    total = tl.load(sums + row * HEADS + head, is_query, other=1.0)
    seen = tl.load(partial + (row * HEADS + head)[:, None] * SIZE + e[None], is_query[:, None], other=0.0)
    length = tl.load(lengths + row).to(tl.int32)
    first = (row * (HEADS // GROUPS) + kv_head) * width
    # The token itself, which the memory gets now.
    new_key = tl.load(k + row * k_stride + kv_head * SIZE + e)
    new_value = tl.load(v + row * v_stride + kv_head * SIZE + e)
    tl.store(keys + (first + length) * SIZE + e, new_key)
    tl.store(values + (first + length) * SIZE + e, new_value)
    peak, total, seen = _attend_one(queries, new_key, new_value, peak, total, seen, scale)
    for start in range(0, length, KEYS):
        n = start + tl.arange(0, KEYS)
        is_there = n < length
        places = (first + n)[:, None] * SIZE + e[None]
        old_keys = tl.load(keys + places, is_there[:, None], other=0.0)
        old_values = tl.load(values + places, is_there[:, None], other=0.0)
        peak, total, seen = _attend_block(queries, old_keys, old_values, is_there, peak, total, seen, scale)
    result = (seen / total[:, None]).to(attended.dtype.element_ty)
    tl.store(attended + (row * HEADS + head)[:, None] * SIZE + e[None], result, is_query[:, None])
