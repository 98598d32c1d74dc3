"""The training steps of the paper against the matrix products of one device, with random weights and no data.

Run in a clone: `PYTHONPATH=. python benchmarks/train.py --output train.json`; torch, transformers, peft, DeepSpeed do.
`--suite` runs what README.md records, each in a process of its own; `--profile FILE` says where a step's time goes.
Loading of images is not part of it: a run of `artimuse train` prints the share of its time that it waits for them.
"""

# E examples

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
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
from artimuse.training import activations, kernels
from artimuse.training.data.collate import Batch
from artimuse.training.data.packing import SHARED, PackedSequence, pack, stack
from artimuse.training.network import TrainedNetwork
from artimuse.training.sharding import prepare_deepspeed, shard

STAGES = {1: paper_text_pretrain, 2: paper_score_finetune}
QUESTIONS = {1: [attribute_question(attribute) for attribute in ATTRIBUTES], 2: [SCORE_QUESTION]}
NUM_ANSWER_TOKENS = {1: 131, 2: 2}
"""The tokens of an answer, with the one that ends the turn."""
SUITE = (
    "--stage 2 --micro-batch-size 64 --rounds 3",
    "--stage 2 --micro-batch-size 16 --zero 2",
    "--stage 2 --micro-batch-size 16 --zero 3",
    "--stage 1 --micro-batch-size 64 --questions-together 8",
)


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
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-kernels", action="store_true", help="torch's way in place of Triton's kernels")
    parser.add_argument(
        "--spare", type=float, help="share of the GPU's memory to leave free, in place of the trainer's"
    )
    parser.add_argument("--profile", type=Path, help="a file for the time of one more step by kernel")
    parser.add_argument("--suite", action="store_true", help="what is recorded; other options but --output are ignored")
    parser.add_argument("--output", type=Path, help="a file for the JSON, which otherwise goes to stdout")
    options = parser.parse_args()
    if options.suite:
        run_suite(options.output or Path("train.json"))
        return
    if options.no_kernels:
        kernels.triton_kernels = None  # type: ignore[assignment]
    if options.spare is not None:
        activations.SPARE = options.spare
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
    report = measure(config, options, resolve_dtype(options.dtype, device))
    text = json.dumps(report, indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")


def run_suite(output: Path) -> None:
    """A configuration that fails is told and left out."""
    reports = []
    for arguments in SUITE:
        part = output.with_suffix(".part.json")
        command = [sys.executable, __file__, *arguments.split(), "--output", str(part)]
        if subprocess.run(command).returncode == 0:
            reports.append(json.loads(part.read_text()))
            part.unlink()
            output.write_text(json.dumps(reports, indent=2) + "\n")
            print(f"{arguments}: {reports[-1]['examples_per_s']:.1f} examples/s", flush=True)
        else:
            print(f"{arguments}: failed", flush=True)


def measure(config: TrainConfig, options: argparse.Namespace, dtype: torch.dtype) -> dict[str, Any]:
    stage, device, geometry = options.stage, torch.device(config.device), PRESETS[options.model]
    ceilings = measure_ceilings(device, dtype)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "LOCAL_RANK": "0"}
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=0, world_size=1)
    prepare_deepspeed("cuda" if device.type == "cuda" else "cpu")
    start = time.perf_counter()
    spec: Any = RandomSpec(geometry)
    network = TrainedNetwork(spec, config, dtype=dtype, device=device)
    engine = shard(network, config, world_size=1, dtype=dtype)
    synchronize(device)
    building_s = time.perf_counter() - start
    sequences = make_sequences(config, stage, geometry)
    step = make_step(engine, config, sequences, NUM_ANSWER_TOKENS[stage] * config.micro_batch_size)
    rounds = [[timed(step, device) for _ in range(options.steps)] for _ in range(options.rounds)]
    seconds = [second for each in rounds for second in each]
    step_s = statistics.median(seconds)
    arithmetic = Arithmetic(geometry)
    flop = sum(flop_per_sequence(arithmetic, sequence) for sequence in sequences)
    flop += 2 * arithmetic.head(NUM_ANSWER_TOKENS[stage] * config.micro_batch_size)
    if options.profile:
        options.profile.write_text(profile(step, device))
    num_tokens = sum(len(sequence.token_ids) for sequence in sequences)
    return describe_run(config, options, dtype) | {
        "ceilings": asdict(ceilings),
        "seconds_to_build": building_s,
        "seconds_per_step": step_s,
        "range_s": [min(seconds), max(seconds)],
        "rounds_s": [statistics.median(each) for each in rounds],
        "examples_per_s": config.micro_batch_size / step_s,
        "tokens_per_s": num_tokens / step_s,
        "tokens_per_example": num_tokens / config.micro_batch_size,
        "flop_per_step": flop,
        "share_of_matmul": flop / step_s / ceilings.matmul_flop_per_s,
        "layers_kept": network.kept.num_layers,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "reserved_bytes": torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None,
    }


def describe_run(config: TrainConfig, options: argparse.Namespace, dtype: torch.dtype) -> dict[str, Any]:
    device = torch.device(config.device)
    return {
        "stage": options.stage,
        "model": options.model,
        "dtype": str(dtype).removeprefix("torch."),
        "lora_rank": config.lora_rank,
        "zero": config.zero,
        "micro_batch_size": config.micro_batch_size,
        "questions_together": config.questions_together,
        "gradient_checkpointing": config.gradient_checkpointing,
        "has_kernels": kernels.has_kernels(torch.ones(1, device=device)),
        "machine": describe(device) | {name: version(name) for name in ("deepspeed", "peft")},
    }


def make_step(
    engine: Any, config: TrainConfig, sequences: list[PackedSequence], num_answer_tokens: int
) -> Callable[[], None]:
    """A whole training step, after the first two: they allocate, and ZeRO-3 learns the order of the layers."""
    device = torch.device(config.device)
    pixels = torch.randint(0, 256, (len(sequences), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=torch.uint8)
    batch = Batch(stack(sequences), pixels, torch.arange(len(sequences)), (), ()).to(device)

    def step() -> None:
        loss, _ = engine(batch)
        engine.backward(loss / num_answer_tokens)
        engine.step()
        print(f"loss {float(loss) / num_answer_tokens:.4f}", file=sys.stderr, flush=True)

    step()
    step()
    return step


def timed(step: Callable[[], None], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - start


def profile(step: Callable[[], None], device: torch.device) -> str:
    """The 25 kernels (on a CPU, operations) that one step spends most time in, in milliseconds."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        step_s = timed(step, device)
    time_of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    kernels_us = [
        (getattr(event, time_of), event.count, event.key)
        for event in profiler.key_averages()
        if device.type == "cpu" or event.device_type == torch.autograd.DeviceType.CUDA
    ]
    total_us = sum(microseconds for microseconds, _, _ in kernels_us)
    lines = [
        f"step {1e3 * step_s:.0f} ms with the profiler, {total_us / 1e3:.0f} ms of it in {len(kernels_us)} kernels"
    ]
    for microseconds, count, name in sorted(kernels_us, reverse=True)[:25]:
        lines.append(f"{microseconds / 1e3:9.1f} ms {count:7d} x {name[:120]}")
    return "\n".join(lines) + "\n"


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
