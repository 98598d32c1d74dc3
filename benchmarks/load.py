"""How long until a checkpoint scores: imports, weights, the comparison with the reference, the first score.

Writes a checkpoint with random weights, so its files are in the disk's cache, and measures fresh processes in rounds:
one that loads the network and scores a picture, and `artimuse score --workers 0`, once without and once with
remembered digests. `--tree DIR` measures another checkout as well, in turns.
Run: `PYTHONPATH=. python benchmarks/load.py`; about five minutes for the 16 GB of InternVL3-8B on a GPU.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from checkpoint import write_random_checkpoint

from artimuse.bench.machine import describe
from artimuse.scenes.table import write_scenes

POLL_S = 0.005

# For any version of the package: only what all of them have.
IN_A_PROCESS = """
import json, sys, time
began_at, model = float(sys.argv[1]), sys.argv[2]
seconds = {}
def note(name):
    global began_at
    seconds[name], began_at = time.time() - began_at, time.time()
import numpy as np
import torch
from artimuse.configs.engine import EngineConfig
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.engines.transformers import TransformersEngine
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
note("imports")
device = resolve_device("auto")
torch.zeros(1, device=device).cpu()
note("device")
network = load_network(find_checkpoint(model), dtype=resolve_dtype("auto", device), device=device)
if device.type == "cuda":
    torch.cuda.synchronize()
note("weights")
engine = TransformersEngine(EngineConfig(model=model), network)
note("engine")
Scorer(engine, STRATEGIES["ordered_100"]).score_pixels(np.zeros((1, 448, 448, 3), np.uint8))
note("score")
print(json.dumps(seconds | {"all": sum(seconds.values())}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="internvl3-8b")
    parser.add_argument("--layout", default="native", choices=("native", "official"))
    parser.add_argument("--tokenizer", type=Path, help="a directory with a vocabulary; default: the built-in model's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=40, help="32 of them are compared with the reference")
    parser.add_argument("--tree", type=Path, help="another checkout of the project, measured as well")
    parser.add_argument("--work", type=Path, help="where files go; a checkpoint that is there is used, and stays")
    parser.add_argument("--no-commands", action="store_true", help="only the process that loads the network")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
    model = work / f"{options.preset}-{options.layout}"
    write_s = write_model(model, options)
    shutil.rmtree(work / "scenes", ignore_errors=True)
    write_scenes(work / "scenes", sizes={"test": options.pictures})
    trees = {"this": Path(__file__).parents[1], **({"other": options.tree} if options.tree else {})}
    runs: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trees}
    for _ in range(options.rounds):
        for name, tree in trees.items():
            runs[name].append(measure(tree.resolve(), model, work, has_commands=not options.no_commands))
            print(name, json.dumps(runs[name][-1]), flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report = {
        "machine": describe(device),
        "preset": options.preset,
        "layout": options.layout,
        "gb": round(sum(path.stat().st_size for path in model.glob("*.safetensors")) / 1e9, 2),
        "write_s": write_s,
        "runs": runs,
    }
    for name, rounds in runs.items():
        for kind in rounds[0]:
            for part in rounds[0][kind]:
                values = [turn[kind][part] for turn in rounds]
                print(
                    f"{name}, {kind}, {part}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
                )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if not options.work:
        shutil.rmtree(work)


def write_model(model: Path, options: argparse.Namespace) -> float | None:
    if model.exists():
        return None
    began_at = time.monotonic()
    write_random_checkpoint(model, options.preset, layout=options.layout, tokenizer=options.tokenizer)
    write_s = time.monotonic() - began_at
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    print(f"written in {write_s:.1f} s", flush=True)
    time.sleep(3)  # digests of files that have just changed are not remembered
    return write_s


def measure(tree: Path, model: Path, work: Path, *, has_commands: bool) -> dict[str, dict[str, float]]:
    """Seconds of one round."""
    paths = [str(tree), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "ARTIMUSE_CACHE": str(work / "cache")}
    command = [sys.executable, "-c", IN_A_PROCESS, str(time.time()), str(model)]
    process = subprocess.run(command, env=environment, cwd=work, check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(work / "cache", ignore_errors=True)
    found = {"network": json.loads(process.stdout.splitlines()[-1])}
    if not has_commands:
        return found
    return found | {
        "command, first": run_command(model, work, environment),
        "command, again": run_command(model, work, environment),
    }


def run_command(model: Path, work: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds from the command to the first part of the table, and of the phases of the run."""
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "artimuse", "score", work / "scenes" / "images" / "test", output, "--json"]
    # Random weights in 16 bits may well differ by more than a model's.
    command += ["--model", model, "--workers", "0", "--parity-tolerance", "100"]
    began_at = time.monotonic()
    with subprocess.Popen(command, env=environment, cwd=work, stdout=subprocess.PIPE, text=True) as process:
        while not list((output / "scores").glob("*.parquet")):
            assert process.poll() is None, "the run has ended without a row"
            time.sleep(POLL_S)
        first_s = time.monotonic() - began_at
        assert process.stdout
        report = json.loads(process.stdout.read())
    shutil.rmtree(output)
    return {"first row": first_s, **report["phase_s"]}


if __name__ == "__main__":
    main()
