"""The whole pipeline on one machine: images/s of `artimuse score` beside its engine's alone, and what bound it.

Makes one-megapixel JPEGs, scores them by the real command, and reads the rate of its steady part (10 % to 90 % of the
rows) from the parts as they appear. Then the engine alone on decoded pixels, and decoding alone with all cores.
Run: `PYTHONPATH=. python benchmarks/pipeline.py --model DIR`, a checkpoint such as `load.py` writes; seven minutes for
20,000 images at 95 images/s.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from artimuse.bench.machine import describe
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.engines import open_engine
from artimuse.io.folder import Folder
from artimuse.pipelines.in_process import ROWS_PER_CHUNK
from artimuse.pipelines.rows import RowDecoder, ScoreJob
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.table.plan import num_shard_rows, plan_passthrough_schema

SIZE_PX = (1155, 866)
NUM_DISTINCT = 256
NUM_WINDOWS = 8
POLL_S = 0.02
STRATEGY = "ordered_100"

Events = list[tuple[float, int]]  # when parts were finished, and their rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", nargs="+", default=["0"], help="0: in one process; auto: with Ray. In turns")
    parser.add_argument("--rows-per-part", type=int, default=256)
    parser.add_argument("--engine-images", type=int, default=1024, help="per round of the engine alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where files go; pictures that are there are used, and stay")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more options of artimuse score, last")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
    make_pictures(work / "pictures", options.images)
    runs = {workers: pipeline_run(workers, work, options) for workers in options.workers}
    decoding = decoding_alone(work / f"out-{options.workers[0]}", work / "pictures")
    engine = engine_alone(options)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report = {
        "machine": describe(device),
        "images": options.images,
        "runs": runs,
        "engine_images_per_s": engine,
        "decoding_images_per_s": decoding,
        "of_the_engine": {name: run["steady"] / statistics.median(engine) for name, run in runs.items()},
    }
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if not options.work:
        shutil.rmtree(work)


def make_pictures(folder: Path, num_images: int) -> None:
    """Soft noise, 300 to 400 KB each: as much to decode as photographs. Some are the same, in files of their own."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    began_at = time.monotonic()
    with ProcessPoolExecutor() as processes:
        pictures = list(processes.map(_picture, range(min(NUM_DISTINCT, num_images)), chunksize=4))

    def write(number: int) -> int:
        return (folder / f"{number:06d}.jpg").write_bytes(pictures[number % len(pictures)])

    with ThreadPoolExecutor() as threads:
        num_bytes = sum(threads.map(write, range(num_images)))
    print(f"{num_images} pictures, {num_bytes / 1e9:.1f} GB, in {time.monotonic() - began_at:.0f} s", flush=True)


def _picture(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (72, 96, 3), dtype=np.uint8)).resize(SIZE_PX, Image.BICUBIC)
    grain = random.normal(0, 6, (SIZE_PX[1], SIZE_PX[0], 3))
    buffer = io.BytesIO()
    pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def pipeline_run(workers: str, work: Path, options: argparse.Namespace) -> dict[str, object]:
    output = work / f"out-{workers}"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "artimuse", "score", work / "pictures", output, "--model", options.model]
    # Random weights in 16 bits may well differ by more than a model's.
    command += ["--parity-tolerance", "100", "--rows-per-part", str(options.rows_per_part), "--json"]
    command += ["--workers", workers, *options.options]
    environment = os.environ | {"RAY_ADDRESS": "local"}
    began_at = time.time()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        events = watch(output / "scores", process, options.images)
        assert process.stdout
        report = json.loads(process.stdout.read())
    wall_s = time.time() - began_at
    assert report["num_rows"] == options.images, report["num_rows"]
    scoring_s = report["phase_s"]["scoring"]
    seconds = report["worker_s"]
    # Of the time, how much each had to do: one engine, one writer, and decoders and readers on all cores.
    busy = {name: seconds[name] / scoring_s for name in ("score", "write")}
    busy |= {name: seconds[name] / scoring_s / (os.cpu_count() or 1) for name in ("decode", "fetch")}
    run = {
        **rates(events),
        "first_row_s": events[0][0] - began_at,
        "wall_s": wall_s,
        "phase_s": report["phase_s"],
        "busy": busy,
        "bound_by": max(busy, key=lambda name: busy[name]),
    }
    print(workers, json.dumps(run), flush=True)
    return run


def watch(folder: Path, process: "subprocess.Popen[str]", num_images: int) -> Events:
    """Parts as they appear, until they are merged or the run ends."""
    events: dict[str, tuple[float, int]] = {}
    while process.poll() is None and sum(rows for _, rows in events.values()) < num_images:
        for path in folder.glob("*.parquet"):
            if path.name not in events:
                try:
                    events[path.name] = path.stat().st_mtime, pq.read_metadata(path).num_rows
                except FileNotFoundError:
                    continue  # merged in this very moment
        time.sleep(POLL_S)
    return sorted(events.values())


def rates(events: Events) -> dict[str, object]:
    """Images/s of the steady part, and of windows of it."""
    times = np.array([at for at, _ in events])
    done = np.cumsum([rows for _, rows in events])
    edges = np.interp(np.linspace(0.1, 0.9, NUM_WINDOWS + 1) * done[-1], done, times)
    windows = 0.8 * done[-1] / NUM_WINDOWS / np.diff(edges)
    return {
        "steady": float(0.8 * done[-1] / (edges[-1] - edges[0])),
        "windows": {"median": float(np.median(windows)), "min": float(windows.min()), "max": float(windows.max())},
    }


def decoding_alone(output: Path, pictures: Path) -> dict[str, float]:
    """Images/s of the decoder of a run in this process, by the number of its threads."""
    folder = Folder.at(str(output))
    job = ScoreJob(
        output=folder,
        rows_per_shard=50_000,
        engine=EngineConfig(name="fake"),
        strategy=STRATEGY,
        limits=DecodeLimits(),
        passthrough=plan_passthrough_schema(folder),
        witnesses=(),
    )
    found = {}
    for num_threads in sorted({1, os.cpu_count() or 1}):
        num_rows = min(num_shard_rows(folder, 0), 150 * num_threads)
        with RowDecoder(job, num_threads=num_threads) as decode:
            start = time.perf_counter()
            for _ in decode(0, np.arange(num_rows, dtype=np.int32), 1, 128):
                pass
            found[str(num_threads)] = num_rows / (time.perf_counter() - start)
    return found


def engine_alone(options: argparse.Namespace) -> list[float]:
    """Images/s of each round, on pixels in memory, as many at a time as a run in this process takes."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer = Scorer(open_engine(EngineConfig(model=options.model, device=device)), STRATEGIES[STRATEGY])
    print("engine", json.dumps(asdict(scorer.engine.config)), flush=True)
    size = ROWS_PER_CHUNK[device]
    pixels_BHWC = np.random.default_rng(0).integers(0, 256, (options.engine_images, 448, 448, 3), dtype=np.uint8)
    scorer.score_pixels(pixels_BHWC[:size])
    found = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        for first in range(0, len(pixels_BHWC), size):
            scorer.score_pixels(pixels_BHWC[first : first + size])
        found.append(len(pixels_BHWC) / (time.perf_counter() - start))
    return found


if __name__ == "__main__":
    main()
