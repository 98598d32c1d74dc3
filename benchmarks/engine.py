"""The built-in engine alone: images/s of scores, and of scores with eight texts, as shares of a matrix product's rate.

Network and pixels are random. Each precision is a process of its own, and so is each checkout: `--tree DIR` measures
another one in the same run. `--profile` says where the time of the kernels goes.
Run in a clone: `PYTHONPATH=. python benchmarks/engine.py --output engine.json`; torch, transformers and Pillow do.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from artimuse.bench.ceilings import measure_ceilings, synchronize
from artimuse.bench.flop import Arithmetic, shared_score, shared_texts
from artimuse.bench.machine import describe
from artimuse.bench.measure import forget_stopping, prompt_lengths
from artimuse.bench.networks import random_network
from artimuse.bench.timing import Work
from artimuse.configs.engine import EngineConfig
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.engines.transformers import TransformersEngine

NUM_KERNELS = 20
PROFILED_TOKENS = 17


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random:internvl3-8b")
    parser.add_argument("--dtypes", nargs="+", default=["auto", "fp8"])
    parser.add_argument("--images", type=int, default=256, help="in a round")
    parser.add_argument("--new-tokens", type=int, default=130, help="of each text, exactly")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--tree", type=Path, help="another checkout, measured first and in the first precision")
    parser.add_argument("--output", type=Path, default=Path("engine.json"))
    options = parser.parse_args()
    if len(options.dtypes) == 1 and options.tree is None:
        options.output.write_text(json.dumps(measure(options), indent=2) + "\n")
        return
    runs = [(Path(__file__).parents[1], dtype) for dtype in options.dtypes]
    if options.tree:
        runs.insert(0, (options.tree, options.dtypes[0]))
    reports = []
    for tree, dtype in runs:
        part = options.output.with_suffix(".part")
        if run_alone(tree, dtype, part, options):
            checkout = "other" if tree == options.tree else "this"
            reports.append({"checkout": checkout, **json.loads(part.read_text())})
            part.unlink()
        options.output.write_text(json.dumps(reports, indent=2) + "\n")


def run_alone(tree: Path, dtype: str, output: Path, options: argparse.Namespace) -> bool:
    """Measures in a new process; False, after a message, if that failed."""
    command = [sys.executable, __file__, "--model", options.model, "--dtypes", dtype, "--output", str(output)]
    for name in ("images", "new_tokens", "rounds", "batch_size"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    command += ["--profile"] if options.profile else []
    others = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)[1:])
    paths = os.pathsep.join([str(tree.resolve()), *others])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths})
    if done.returncode:
        print(f"{tree} {dtype}: exit status {done.returncode}", file=sys.stderr)
    return done.returncode == 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    [dtype] = options.dtypes
    device = resolve_device("auto")
    network = random_network(options.model, dtype=resolve_dtype(dtype, device), device=device)
    forget_stopping(network)
    ceilings = measure_ceilings(device, resolve_dtype(dtype, device))
    arithmetic, lengths = Arithmetic(network.model.config), prompt_lengths(network, options.new_tokens)
    engine = TransformersEngine(EngineConfig(model=options.model, dtype=dtype, batch_size=options.batch_size), network)
    pixels_BHWC = np.random.default_rng(0).integers(0, 256, (options.images, 448, 448, 3), dtype=np.uint8)
    score = shared_score(arithmetic, lengths)
    works = {Work(): score, Work(options.new_tokens): score + shared_texts(arithmetic, lengths)}
    found = {}
    for work, flop in works.items():
        work.do(engine, pixels_BHWC)  # memory is allocated, kernels are loaded and recorded
        rates = [
            options.images / seconds(lambda work=work: work.do(engine, pixels_BHWC), device)
            for _ in range(options.rounds)
        ]
        found[work.name] = {
            "images_per_s": {"median": statistics.median(rates), "low": min(rates), "high": max(rates)},
            "flop_per_image": flop,
            "share_of_matmul": flop * statistics.median(rates) / ceilings.matmul_flop_per_s,
        }
        print(dtype, work.name, json.dumps(found[work.name]), flush=True)
    report = {
        "model": options.model,
        "dtype": engine.precision["dtype"],
        "machine": describe(device),
        "images": options.images,
        "batch_size": engine.batch_size,
        "max_rows": engine.generator.max_rows,
        "lengths": asdict(lengths),
        "ceilings": asdict(ceilings),
        "found": found,
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }
    if options.profile:
        few = pixels_BHWC[: engine.batch_size]
        report["profile"] = {
            "score": kernels(lambda: Work().do(engine, few)),
            f"score + texts of {PROFILED_TOKENS} tokens": kernels(
                lambda: Work(PROFILED_TOKENS).do(engine, pixels_BHWC)
            ),
        }
    return report


def seconds(call: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def kernels(call: Callable[[], object]) -> list[dict[str, Any]]:
    """The kernels that took most of the device's time, in milliseconds."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        call()
        torch.cuda.synchronize()
    events = [event for event in profiled.key_averages() if event.self_device_time_total]
    total = sum(event.self_device_time_total for event in events)
    events.sort(key=lambda event: -event.self_device_time_total)
    rows = [
        {"kernel": event.key[:120], "calls": event.count, "ms": round(event.self_device_time_total / 1e3, 2)}
        for event in events[:NUM_KERNELS]
    ]
    return [{"kernel": "all", "calls": sum(event.count for event in events), "ms": round(total / 1e3, 2)}, *rows]


if __name__ == "__main__":
    main()
