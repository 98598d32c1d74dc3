"""What a resume costs: opening a ledger with 10 million done rows in parts of 4,096.

Run: `python benchmarks/resume.py`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pyarrow as pa

from artimuse.io.folder import Folder
from artimuse.scoring import STRATEGIES
from artimuse.table.ledger import Ledger
from artimuse.table.parts import PARTS, store_part
from artimuse.table.schema import score_schema

ROWS_PER_SHARD = 50_000
ROWS_PER_PART = 4_096


def status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def make_table(folder: Path, num_rows: int) -> None:
    """A finished score table with all columns; scores, ids and hashes are there, texts are not."""
    output = Folder.at(str(folder))
    schema = score_schema(STRATEGIES["ordered_100"].values_K, pa.schema([]))
    for first in range(0, num_rows, ROWS_PER_SHARD):
        for start in range(first, min(first + ROWS_PER_SHARD, num_rows), ROWS_PER_PART):
            numbers = np.arange(start, min(start + ROWS_PER_PART, first + ROWS_PER_SHARD, num_rows))
            known = {
                "row_number": pa.array(numbers),
                "image_id": pa.array([f"{number:09d}" for number in numbers]),
                "uri": pa.array(["/a/b.jpg"] * len(numbers)),
                "status": pa.array(["ok"] * len(numbers)),
                "score": pa.array(np.full(len(numbers), 50, dtype=np.float32)),
                "attempt": pa.array(np.ones(len(numbers), dtype=np.int8)),
            }
            columns = {f.name: known.get(f.name, pa.nulls(len(numbers), f.type)) for f in schema}
            store_part(output, PARTS, first // ROWS_PER_SHARD, pa.table(columns, schema))


def open_ledger(folder: Path, num_rows: int) -> dict[str, float]:
    # What any use of a folder loads is not the ledger's.
    Folder.at(str(folder)).names()
    before_mb = status_mb("VmRSS")
    start = time.monotonic()
    num_done = Ledger(Folder.at(str(folder)), num_rows=num_rows, rows_per_shard=ROWS_PER_SHARD).num_done()
    seconds = time.monotonic() - start
    assert num_done == num_rows
    return {"rows": num_rows, "seconds": round(seconds, 2), "added_mb": round(status_mb("VmHWM") - before_mb, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(open_ledger(options.open, options.rows[0])))
        return
    sizes = []
    for num_rows in options.rows:
        folder = Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
        make_table(folder, num_rows)
        for _ in range(3):
            command = [sys.executable, __file__, "--open", str(folder), "--rows", str(num_rows)]
            sizes.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            print(sizes[-1], flush=True)
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.describe(), "opens": sizes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
