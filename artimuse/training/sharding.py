"""DeepSpeed: a network and its optimizer, sharded over the workers."""

import math
import os
from collections import defaultdict
from typing import Any

import torch

from artimuse.configs.engine import Device
from artimuse.configs.train import TrainConfig
from artimuse.training.network import TrainedNetwork, optimizer_groups

BETAS = (0.9, 0.999)
REDUCE_BUCKET_SIZE = 10**8
"""Gradients that are summed over the workers at a time: 400 MB of them in float32."""

ALONE: dict[str, Any] = {
    # A worker alone has all weights anyway; gathering and releasing them took longer than using them.
    "stage3_param_persistence_threshold": 2**62,
    # DeepSpeed's own linear layer only serves weights that are released.
    "memory_efficient_linear": False,
}
"""Settings of ZeRO-3 where there is nobody to share with."""


def micro_steps(config: TrainConfig, world_size: int) -> int:
    """Passes of each worker through the network in a whole step."""
    return math.ceil(math.ceil(config.batch_size / config.micro_batch_size) / world_size)


def shard(network: TrainedNetwork, config: TrainConfig, *, world_size: int, dtype: torch.dtype) -> Any:
    """The DeepSpeed engine around a network; torch.distributed is up already."""
    import deepspeed
    from deepspeed.utils.z3_leaf_module import set_z3_leaf_module

    for layer in network.layers():
        set_z3_leaf_module(layer, True)
    optimizer = torch.optim.AdamW(
        optimizer_groups(network, config),
        lr=config.learning_rate,
        betas=BETAS,
        # One kernel for all weights, where there is one.
        fused=config.device == "cuda",
    )
    engine, *_ = deepspeed.initialize(
        model=network,
        optimizer=optimizer,
        config=_deepspeed_config(config, world_size=world_size, dtype=dtype),
        dist_init_required=False,
    )
    return engine


def prepare_deepspeed(device: Device) -> None:
    """Tells DeepSpeed what it would find out otherwise, with messages on stdout and calls of the compiler.

    On CPUs it would even compile an extension for reductions within a machine, which training does not use: that needs
    a compiler and two minutes (DeepSpeed 0.19).
    """
    os.environ["DS_ACCELERATOR"] = device
    import deepspeed.ops

    if device == "cpu":
        deepspeed.ops.__compatible_ops__ = defaultdict(bool)


def _deepspeed_config(config: TrainConfig, *, world_size: int, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": micro_steps(config, world_size),
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": dtype == torch.bfloat16},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": config.zero,
            "reduce_bucket_size": REDUCE_BUCKET_SIZE,
            **(ALONE if world_size == 1 else {}),
        },
        "steps_per_print": 2**31,
    }
