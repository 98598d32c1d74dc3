"""The training steps of the paper against the matrix products of one device, with random weights and no data.

Run in a clone: `PYTHONPATH=. python benchmarks/train.py --output train.json`; torch, transformers, peft, DeepSpeed do.
Loading of images is not part of it: a run of `artimuse train` prints the share of its time that it waits for them.
"""

# E examples

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

from artimuse.attributes import ATTRIBUTES
from artimuse.bench.ceilings import measure_ceilings, synchronize
from artimuse.bench.flop import Arithmetic
from artimuse.bench.machine import describe
from artimuse.bench.networks import PRESETS, random_weights
from artimuse.bench.tokenizer import SPECIAL_TOKENS, ChecksumTokenizer
from artimuse.configs.presets import paper_score_finetune, paper_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.model.build import empty_model
from artimuse.model.template import ChatTemplate
from artimuse.prompts import SCORE_QUESTION, attribute_question
from artimuse.training.data.collate import Batch
from artimuse.training.data.packing import SHARED, PackedSequence, pack, stack
from artimuse.training.network import TrainedNetwork
from artimuse.training.sharding import prepare_deepspeed, shard

STAGES = {1: paper_text_pretrain, 2: paper_score_finetune}
QUESTIONS = {1: [attribute_question(attribute) for attribute in ATTRIBUTES], 2: [SCORE_QUESTION]}
NUM_ANSWER_TOKENS = {1: 131, 2: 2}
"""The tokens of an answer, with the one that ends the turn."""


@dataclass(frozen=True)
class RandomSpec:
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
    parser.add_argument("--stage", type=int, default=2, choices=sorted(STAGES))
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--questions-together", type=int, default=1, help="neighbours about one image")
    parser.add_argument("--zero", type=int, default=2)
    parser.add_argument("--no-gradient-checkpointing", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the JSON, which otherwise goes to stdout")
    options = parser.parse_args()
    device = resolve_device(options.device)
    config = STAGES[options.stage](
        "",
        "",
        device=device.type,
        zero=options.zero,
        batch_size=options.micro_batch_size,
        micro_batch_size=options.micro_batch_size,
        questions_together=options.questions_together,
        gradient_checkpointing=not options.no_gradient_checkpointing,
    )
    report = measure(config, options.stage, options.model, resolve_dtype(options.dtype, device), options.steps)
    text = json.dumps(report, indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")


def measure(config: TrainConfig, stage: int, model: str, dtype: torch.dtype, num_steps: int) -> dict[str, Any]:
    device = torch.device(config.device)
    ceilings = measure_ceilings(device, dtype)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "LOCAL_RANK": "0"}
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=0, world_size=1)
    prepare_deepspeed("cuda" if device.type == "cuda" else "cpu")
    spec: Any = RandomSpec(PRESETS[model])
    network = TrainedNetwork(spec, config, dtype=dtype, device=device)
    engine = shard(network, config, world_size=1, dtype=dtype)
    sequences = make_sequences(config, stage, PRESETS[model])
    pixels = torch.randint(0, 256, (len(sequences), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=torch.uint8)
    batch = Batch(stack(sequences), pixels, torch.arange(len(sequences)), (), ()).to(device)
    num_answer_tokens = NUM_ANSWER_TOKENS[stage] * config.micro_batch_size
    seconds = []
    for _ in range(num_steps + 1):  # the first one allocates
        synchronize(device)
        start = time.perf_counter()
        loss, _ = engine(batch)
        engine.backward(loss / num_answer_tokens)
        engine.step()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[1:])
    num_tokens = sum(len(sequence.token_ids) for sequence in sequences)
    arithmetic = Arithmetic(PRESETS[model])
    flop = sum(flop_per_sequence(arithmetic, sequence) for sequence in sequences) + 2 * arithmetic.head(
        num_answer_tokens
    )
    return {
        "stage": stage,
        "model": model,
        "dtype": str(dtype).removeprefix("torch."),
        "lora_rank": config.lora_rank,
        "zero": config.zero,
        "micro_batch_size": config.micro_batch_size,
        "questions_together": config.questions_together,
        "gradient_checkpointing": config.gradient_checkpointing,
        "machine": describe(device) | {name: version(name) for name in ("deepspeed", "peft")},
        "ceilings": asdict(ceilings),
        "seconds_per_step": step_s,
        "range_s": [min(seconds[1:]), max(seconds[1:])],
        "examples_per_s": config.micro_batch_size / step_s,
        "tokens_per_s": num_tokens / step_s,
        "tokens_per_example": num_tokens / config.micro_batch_size,
        "flop_per_step": flop,
        "share_of_matmul": flop / step_s / ceilings.matmul_flop_per_s,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def flop_per_sequence(arithmetic: Arithmetic, sequence: PackedSequence) -> float:
    """What a step cannot do without: what checkpointing computes a second time does not count, nor do the adapters.

    Backwards a trained layer takes twice its forward pass, a frozen one once. Without the output layer.
    """
    num_shared = sequence.parts.count(SHARED)
    questions = set(sequence.parts) - {SHARED}
    frozen = arithmetic.read(num_shared) if num_shared else 0.0
    frozen += sum(arithmetic.read(sequence.parts.count(question), past=num_shared) for question in questions)
    return 3 * arithmetic.image + 2 * frozen


def make_sequences(config: TrainConfig, stage: int, network: Any) -> list[PackedSequence]:
    """A micro-batch of the stage's prompts, `questions_together` of them about each image."""
    template = ChatTemplate.of({"system_message": None}, network)
    prompts_E = [
        template.token_ids(ChecksumTokenizer(), QUESTIONS[stage][i % len(QUESTIONS[stage])])
        for i in range(config.micro_batch_size)
    ]
    answer = [*[0] * (NUM_ANSWER_TOKENS[stage] - 1), SPECIAL_TOKENS["<|im_end|>"]]
    size = config.questions_together
    return [
        pack(prompts_E[start : start + size], [answer] * len(prompts_E[start : start + size]))
        for start in range(0, len(prompts_E), size)
    ]


if __name__ == "__main__":
    main()
