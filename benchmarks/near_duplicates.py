"""What groups of near-duplicates cost: seconds and peak memory, for collections of several sizes and kinds.

Each runs in a process of its own. With --photos DIR it is also measured how far each change of a photo moves its hash.
Run: `PYTHONPATH=. python benchmarks/near_duplicates.py --photos DIR`.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import machine
import numpy as np
from numpy.typing import NDArray

from artimuse.curation.near_duplicates import near_duplicates
from tests.curation.photos import CHANGES, distances_after

NUM_CENTRES = 5


def status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def make_hashes(kind: str, num_hashes: int) -> NDArray[np.uint64]:
    """`random`; `clustered`: 1 % within 3 bits of a few centres; `skewed`: each bit is set in a tenth of the hashes."""
    rng = np.random.default_rng(0)
    if kind == "skewed":
        hashes = np.zeros(num_hashes, dtype=np.uint64)
        for bit in range(64):
            hashes |= (rng.random(num_hashes, dtype=np.float32) < 0.1).astype(np.uint64) << np.uint64(bit)
        return hashes
    hashes = rng.integers(0, 2**64, num_hashes, dtype=np.uint64)
    if kind == "clustered":
        centres = rng.integers(0, 2**64, NUM_CENTRES, dtype=np.uint64)
        near = centres[rng.integers(0, NUM_CENTRES, num_hashes // 100)]
        for _ in range(3):
            near ^= np.uint64(1) << rng.integers(0, 64, len(near), dtype=np.uint64)
        hashes[: len(near)] = near
    return hashes


def one_size(kind: str, num_hashes: int, max_distance: int) -> dict[str, object]:
    hashes = make_hashes(kind, num_hashes)
    # Imports of the first call are not the hashes'.
    near_duplicates(hashes[:20_000], max_distance)
    before_mb = status_mb("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    groups = near_duplicates(hashes, max_distance)
    return {
        "kind": kind,
        "hashes": num_hashes,
        "max_distance": max_distance,
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_s": round(time.process_time() - cpu_start, 2),
        "peak_mb": round(status_mb("VmHWM"), 1),
        "added_mb": round(status_mb("VmHWM") - before_mb, 1),
        "groups": len(np.unique(groups)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", default=["random", "clustered"])
    parser.add_argument("--max-distance", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_size(options.kinds[0], options.sizes[0], options.max_distance)))
        return
    found: dict[str, object] = {"machine": machine.describe()}
    if options.photos:
        distances = distances_after(options.photos)
        found["distances"] = {name: sorted(distances[name]) for name in CHANGES}
        print(found["distances"], flush=True)
    runs: list[object] = []
    found["runs"] = runs
    for size in options.sizes * options.rounds:
        for kind in options.kinds:
            command = [sys.executable, __file__, "--one", "--kinds", kind, "--sizes", str(size)]
            command += ["--max-distance", str(options.max_distance)]
            runs.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            print(runs[-1], flush=True)
            if options.json:  # what has been measured stays if a later size is given up
                options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
