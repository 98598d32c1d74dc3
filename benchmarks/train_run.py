"""`artimuse train` itself at full size on one device: 20 steps on generated pictures, from a base of random weights.

Run in a clone: `PYTHONPATH=. python benchmarks/train_run.py FOLDER --output run.json`. FOLDER takes pictures, base
(16 GB for InternVL3-8B) and run; what is there of the first two is used again, the run is replaced. The tokenizer is
nano's, with a short system message: about as many tokens per example as InternVL3's own prompt. Ray is not loaded.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.console import Console

from artimuse.bench.machine import describe
from artimuse.bench.networks import PRESETS, random_weights
from artimuse.configs.presets import paper_score_finetune
from artimuse.configs.train import TrainConfig
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.engines.network import resolve_device
from artimuse.io.folder import Folder
from artimuse.model.build import empty_model
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.model.save import save_checkpoint
from artimuse.model.template import ChatTemplate
from artimuse.runs.lock import hold_lock
from artimuse.runs.signals import StopRequest
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.train import GRACE_S, TrainRun

SIZE_PX = (1200, 900)
NUM_WARM_UP = 3


class WithoutExport(TrainRun):
    """The run up to its last checkpoint."""

    def run(self) -> Any:
        counts = self._plan()
        self._connect()
        self._open(None, counts)
        self._train(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="internvl3-8b", choices=sorted(PRESETS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--micro-batch-size", type=int, default=64)
    parser.add_argument("--zero", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=12.0, help="for decoding")
    parser.add_argument("--export", action="store_true", help="the export as well, which takes minutes")
    parser.add_argument("--output", type=Path, help="a file for the JSON, which otherwise goes to stdout")
    options = parser.parse_args()
    device = resolve_device(options.device)
    seconds = {"pictures": timed(write_pictures, options.folder / "pictures", options.images)}
    seconds["base"] = timed(write_base, options.folder / "base", options.model, device)
    config = paper_score_finetune(
        str(write_table(options.folder, options.steps * options.micro_batch_size, options.images)),
        str(options.folder / "run"),
        base=str(options.folder / "base"),
        system_message="Judge the picture.",
        workers="0",
        device=device.type,
        zero=options.zero,
        batch_size=options.micro_batch_size,
        micro_batch_size=options.micro_batch_size,
        epochs=1,
        cpus_per_worker=options.cpus,
        tracker="none",
    )
    shutil.rmtree(config.output, ignore_errors=True)
    seconds["run"] = timed(train, config, options.export)
    text = json.dumps(report(config, device, seconds), indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    print(text, end="")


def timed(function: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def train(config: TrainConfig, has_export: bool) -> None:
    stop = StopRequest(GRACE_S, doing="finishing the step and saving a checkpoint")
    output = Folder.at(config.output)
    run = TrainRun if has_export else WithoutExport
    with stop.heeded(), hold_lock(output) as lock:
        run(config, output, stop, lock, Console(stderr=True)).run()


def report(config: TrainConfig, device: torch.device, seconds: dict[str, float]) -> dict[str, Any]:
    saved = Checkpoints(Folder.at(config.output)).latest()
    assert saved is not None
    history = saved.state.history
    steady = history[min(NUM_WARM_UP, len(history) - 1) :]
    steady_s = sum(entry["seconds"] for entry in steady)
    return {
        "machine": describe(device) | {name: version(name) for name in ("deepspeed", "peft", "pillow")},
        "picture_px": SIZE_PX,
        "micro_batch_size": config.micro_batch_size,
        "zero": config.zero,
        "steps": len(history),
        "seconds": seconds,
        "seconds_per_step": statistics.median(entry["seconds"] for entry in steady),
        "examples_per_s": sum(entry["num_samples"] for entry in steady) / steady_s,
        "waiting_share": sum(entry["waiting_share"] * entry["seconds"] for entry in steady) / steady_s,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "ray_is_loaded": "ray" in sys.modules,
        "history": history,
    }


def write_pictures(folder: Path, number: int) -> None:
    """JPEGs with shapes and noise, which take about as long to decode as photographs of their size."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZE_PX
    noise = np.random.default_rng(0).integers(-24, 25, (height, width, 3), dtype=np.int16)

    def write(i: int) -> None:
        path = folder / f"{i:05d}.jpg"
        if not path.exists():
            coarse = np.random.default_rng(i).integers(0, 256, (9, 12, 3), dtype=np.uint8)
            smooth = np.asarray(Image.fromarray(coarse).resize(SIZE_PX, Image.Resampling.BICUBIC), dtype=np.int16)
            Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(path, quality=85)

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, range(number)))


def write_table(folder: Path, num_rows: int, num_pictures: int) -> Path:
    """As many scored rows as the steps need; where they are more than there are pictures, some have several."""
    rows = [
        {
            "image_id": f"picture-{i}",
            "uri": f"pictures/{i % num_pictures:05d}.jpg",
            "dataset": "generated",
            "split": "train",
            "kind": "score",
            "score": float(i % 101),
        }
        for i in range(num_rows)
    ]
    path = folder / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA), path)
    return path


def write_base(directory: Path, model: str, device: torch.device) -> None:
    if directory.exists():
        return
    nano, config = read_spec(find_checkpoint("nano")), PRESETS[model]
    spec = replace(nano, config=config, template=ChatTemplate.of({"system_message": None}, config))
    dtype = torch.bfloat16
    save_checkpoint(directory, spec, random_weights(empty_model(config), dtype, device), layout="native", dtype=dtype)


if __name__ == "__main__":
    main()
