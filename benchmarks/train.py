"""The training step of stage 2 against the matrix products of one device, with random weights and no data.

Run in a clone: `PYTHONPATH=. python benchmarks/train.py --output train.json`; torch, transformers, peft, DeepSpeed do.
Loading of images is not part of it: a run of `artimuse train` prints the share of its time that it waits for them.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from artimuse.bench.ceilings import measure_ceilings, synchronize
from artimuse.bench.flop import Arithmetic
from artimuse.bench.machine import describe
from artimuse.bench.networks import PRESETS, random_weights
from artimuse.bench.tokenizer import SPECIAL_TOKENS, ChecksumTokenizer
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.images import IMAGE_SIZE_PX
from artimuse.model.build import empty_model
from artimuse.model.template import ChatTemplate
from artimuse.presets import paper_score_finetune
from artimuse.prompts import SCORE_QUESTION
from artimuse.train_config import TrainConfig
from artimuse.training.batch import Batch
from artimuse.training.network import TrainedNetwork
from artimuse.training.row import lay_out, stack
from artimuse.training.sharding import prepare_cpu, shard

NUM_ANSWER_TOKENS = 2


@dataclass(frozen=True)
class RandomBlueprint:
    """What `TrainedNetwork` needs of a checkpoint."""

    config: Any
    first_new_id: int | None = None

    def weights(self, dtype: torch.dtype, device: torch.device) -> Any:
        return random_weights(empty_model(self.config), dtype, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="internvl3-8b", choices=sorted(PRESETS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--zero", type=int, default=2)
    parser.add_argument("--no-gradient-checkpointing", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the JSON, which otherwise goes to stdout")
    options = parser.parse_args()
    device = resolve_device(options.device)
    config = paper_score_finetune(
        "",
        "",
        device=device.type,
        zero=options.zero,
        batch_size=options.micro_batch_size,
        micro_batch_size=options.micro_batch_size,
        gradient_checkpointing=not options.no_gradient_checkpointing,
    )
    report = measure(config, options.model, resolve_dtype(options.dtype, device), options.steps)
    text = json.dumps(report, indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")


def measure(config: TrainConfig, model: str, dtype: torch.dtype, num_steps: int) -> dict[str, Any]:
    device = torch.device(config.device)
    ceilings = measure_ceilings(device, dtype)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "LOCAL_RANK": "0"}
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=0, world_size=1)
    if device.type == "cpu":
        prepare_cpu()
    blueprint: Any = RandomBlueprint(PRESETS[model])
    network = TrainedNetwork(blueprint, config, dtype=dtype, device=device)
    engine = shard(network, config, world_size=1, dtype=dtype)
    batch = make_batch(config.micro_batch_size, PRESETS[model]).to(device)
    seconds = []
    for _ in range(num_steps + 1):  # the first one allocates
        synchronize(device)
        start = time.perf_counter()
        loss, _ = engine(batch)
        engine.backward(loss / (NUM_ANSWER_TOKENS * config.micro_batch_size))
        engine.step()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[1:])
    num_tokens = batch.rows.token_ids_RS.shape[1]
    flop = config.micro_batch_size * flop_per_example(Arithmetic(PRESETS[model]), num_tokens)
    return {
        "model": model,
        "dtype": str(dtype).removeprefix("torch."),
        "lora_rank": config.lora_rank,
        "zero": config.zero,
        "micro_batch_size": config.micro_batch_size,
        "gradient_checkpointing": config.gradient_checkpointing,
        "machine": describe(device) | {name: version(name) for name in ("deepspeed", "peft")},
        "ceilings": asdict(ceilings),
        "seconds_per_step": step_s,
        "range_s": [min(seconds[1:]), max(seconds[1:])],
        "examples_per_s": config.micro_batch_size / step_s,
        "tokens_per_s": config.micro_batch_size * num_tokens / step_s,
        "tokens_per_example": num_tokens,
        "flop_per_step": flop,
        "share_of_matmul": flop / step_s / ceilings.matmul_flop_per_s,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def flop_per_example(arithmetic: Arithmetic, num_tokens: int) -> float:
    """What a step cannot do without: what checkpointing computes a second time does not count, nor do the adapters.

    Backwards a trained layer takes twice its forward pass, a frozen one once.
    """
    frozen = arithmetic.read(num_tokens) + arithmetic.head(NUM_ANSWER_TOKENS)
    return 3 * arithmetic.image + 2 * frozen


def make_batch(size: int, network: Any) -> Batch:
    """The score prompt with a two-token answer, about random pixels."""
    prompt = ChatTemplate.of({"system_message": None}, network).token_ids(ChecksumTokenizer(), SCORE_QUESTION)
    row = lay_out([prompt], [[0, SPECIAL_TOKENS["<|im_end|>"]]])
    pixels = torch.randint(0, 256, (size, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=torch.uint8)
    return Batch(stack([row] * size), pixels, torch.arange(size), (), ())


if __name__ == "__main__":
    main()
