"""What the pipeline costs: images/s of `artimuse score` against a plain multiprocessing loop with the same work.

Both read one-megapixel JPEGs, hash, decode and resize them, score them with the fake engine and write Parquet parts,
with two workers each. Plain runs come before, between and after the pipeline's, on the same files. The cluster is up
before the clock starts. Run: `python benchmarks/overhead.py`, about a quarter of an hour on two cores.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import ray
from PIL import Image
from rich.console import Console

from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.configs.score import ScoreConfig
from artimuse.images.decode import leave_limits_to_decode
from artimuse.io.folder import Folder
from artimuse.pipelines.rows import RowDecoder, RowScorer, ScoreJob
from artimuse.pipelines.score import run as score
from artimuse.sources import open_source
from artimuse.table.parts import write_rows
from artimuse.table.plan import plan_passthrough_schema, write_plan

WORKERS = 2
ROWS_PER_PART = 256
CHUNK = 32
NUM_FILES = 64


def make_pictures(folder: Path) -> None:
    """One-megapixel JPEGs of soft noise, about 300 KB each: as much to decode as a photograph."""
    folder.mkdir(parents=True)
    for i in range(NUM_FILES):
        random = np.random.default_rng(i)
        coarse = Image.fromarray(random.integers(0, 256, (72, 96, 3), dtype=np.uint8)).resize(
            (1155, 866), Image.BICUBIC
        )
        grain = random.normal(0, 6, (866, 1155, 3))
        pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.jpg", quality=88)


def make_manifest(work: Path, num_rows: int) -> Path:
    manifest = work / "manifest.csv"
    lines = (f"{row:07d},pictures/{row % NUM_FILES:02d}.jpg\n" for row in range(num_rows))
    manifest.write_text("image_id,uri\n" + "".join(lines))
    return manifest


def plain_worker(
    job: ScoreJob, shards: list[tuple[int, np.ndarray]], finished: "multiprocessing.Queue[tuple[float, int]]"
) -> None:
    leave_limits_to_decode()
    decode, score_rows = RowDecoder(job), RowScorer(job, "plain")
    import pyarrow as pa

    for shard, offsets in shards:
        rows = pa.concat_tables([score_rows(chunk) for chunk in decode(shard, offsets, 1, CHUNK)])
        write_rows(job.output, rows.select(job.schema.names).cast(job.schema), rows_per_shard=job.rows_per_shard)
        finished.put((time.time(), len(offsets)))


def plain_run(manifest: Path, out: Path, num_rows: int) -> list[tuple[float, int]]:
    """Times at which parts were finished, with their rows; the first entry is the start."""
    output = Folder.at(str(out))
    write_plan(open_source(str(manifest)), output)
    job = ScoreJob(
        output=output,
        rows_per_shard=50_000,
        engine=EngineConfig(name="fake"),
        strategy="ordered_100",
        limits=DecodeLimits(),
        passthrough=plan_passthrough_schema(output),
        with_metadata=False,
        witnesses=(),
    )
    units = [
        (0, np.arange(start, min(start + ROWS_PER_PART, num_rows), dtype=np.int32))
        for start in range(0, num_rows, ROWS_PER_PART)
    ]
    context = multiprocessing.get_context("spawn")
    finished = context.Queue()
    workers = [context.Process(target=plain_worker, args=(job, units[i::WORKERS], finished)) for i in range(WORKERS)]
    start = time.time()
    for worker in workers:
        worker.start()
    events = [(start, 0)] + [finished.get() for _ in units]
    for worker in workers:
        worker.join()
    return events


def pipeline_run(manifest: Path, out: Path) -> list[tuple[float, int]]:
    start = time.time()
    config = ScoreConfig(
        input=str(manifest), output=str(out), engine="fake", workers=str(WORKERS), rows_per_part=ROWS_PER_PART
    )
    events: list[tuple[float, int]] = []
    from artimuse.runs.progress import RunProgress

    advance = RunProgress.advance

    def note(self: RunProgress, *, rows: int, failed: int, began_at: float) -> None:
        events.append((time.time(), rows))
        advance(self, rows=rows, failed=failed, began_at=began_at)

    RunProgress.advance = note  # the receipts as they arrive, without a hook in the product
    try:
        report = score(config, Console(quiet=True))
    finally:
        RunProgress.advance = advance
    print("   ", json.dumps({"phases": dict(report.phase_s), "worker_s": dict(report.worker_s)}), flush=True)
    return [(start, 0), *events]


def rates(events: list[tuple[float, int]]) -> dict[str, float]:
    """Images/s of the steady part (10 % to 90 % of the rows) and of the whole, and seconds to the first part."""
    events = sorted(events)
    times = np.array([at for at, _ in events])
    done = np.cumsum([rows for _, rows in events])
    total = done[-1]
    low, high = np.interp([0.1 * total, 0.9 * total], done, times)
    return {
        "steady": 0.8 * total / (high - low),
        "whole": total / (times[-1] - times[0]),
        "first_part_s": times[1] - times[0],
        "seconds": times[-1] - times[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
    make_pictures(work / "pictures")
    manifest = make_manifest(work, options.rows)
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=40)
    runs: dict[str, list[dict[str, float]]] = {"plain": [], "pipeline": []}
    order = ["plain", *["pipeline", "plain"] * options.rounds]
    for i, kind in enumerate(order):
        out = work / f"out-{i}"
        events = plain_run(manifest, out, options.rows) if kind == "plain" else pipeline_run(manifest, out)
        measured = rates(events)
        assert sum(rows for _, rows in events) == options.rows
        runs[kind].append(measured)
        shutil.rmtree(out)
        print(kind, {name: round(value, 2) for name, value in measured.items()}, flush=True)
    beside = [
        statistics.mean([runs["plain"][i]["steady"], runs["plain"][i + 1]["steady"]]) for i in range(options.rounds)
    ]
    beside_whole = [
        statistics.mean([runs["plain"][i]["whole"], runs["plain"][i + 1]["whole"]]) for i in range(options.rounds)
    ]
    result = {
        "machine": machine.describe(),
        "rows": options.rows,
        "workers": WORKERS,
        "runs": runs,
        "steady_ratio": [run["steady"] / plain for run, plain in zip(runs["pipeline"], beside)],
        "whole_ratio": [run["whole"] / plain for run, plain in zip(runs["pipeline"], beside_whole)],
    }
    result["steady_ratio_median"] = statistics.median(result["steady_ratio"])
    result["whole_ratio_median"] = statistics.median(result["whole_ratio"])
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
