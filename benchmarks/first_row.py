"""How long a newcomer waits: seconds from the command to the first row on disk, with `--workers 0` and with Ray.

`artimuse score` of the built-in model on small synthetic pictures, in turns. Run: `python benchmarks/first_row.py`,
about two minutes on two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

from artimuse.scenes.table import write_scenes

NUM_PICTURES = 60
ARMS = {"in this process": ("--workers", "0"), "with Ray": ()}
POLL_S = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_scenes(work, sizes={"test": NUM_PICTURES})
        turns = [{arm: measure(work, arm, number) for arm in ARMS} for number in range(options.rounds)]
    first, whole = ({arm: [turn[arm][which] for turn in turns] for arm in ARMS} for which in (0, 1))
    report = {"machine": machine.describe(), "pictures": NUM_PICTURES, "first_row_s": first, "whole_run_s": whole}
    for name, seconds in (("first row", first), ("whole run", whole)):
        for arm, values in seconds.items():
            print(f"{name} {arm}: {statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def measure(work: Path, arm: str, number: int) -> tuple[float, float]:
    """Seconds until the first part is there, and until the command has ended."""
    output = work / f"{arm} {number}"
    command = [
        sys.executable,
        "-m",
        "artimuse",
        "score",
        work / "images" / "test",
        output,
        "--model",
        "nano",
        *ARMS[arm],
    ]
    began_at = time.monotonic()
    with subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": "local"}, stderr=subprocess.DEVNULL) as process:
        while not list((output / "scores").glob("*.parquet")):
            assert process.poll() is None, f"{arm}: the run has ended without a row"
            time.sleep(POLL_S)
        first_s = time.monotonic() - began_at
        assert process.wait() == 0
    return first_s, time.monotonic() - began_at


if __name__ == "__main__":
    main()
