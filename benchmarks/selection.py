"""What `artimuse select` costs on a large table: whole commands, beside DuckDB reading the same columns.

Run: `python benchmarks/selection.py`. The table is synthetic and has no texts; it takes 200 MB per million rows.
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

import machine
import numpy as np
import pyarrow as pa

from artimuse.io.folder import Folder
from artimuse.scoring import STRATEGIES
from artimuse.table.parts import PARTS, store_part
from artimuse.table.plan import PlanFacts
from artimuse.table.record import RUN_FILE, ScoreRecord
from artimuse.table.schema import score_schema

ROWS_PER_SHARD = 50_000
ROUNDS = 3
VALUES_K = STRATEGIES["ordered_100"].values_K
SCHEMA = score_schema(VALUES_K, pa.schema([("prompt", pa.string()), ("generator", pa.string())]))
COMMANDS = {
    "where and top 10,000 per group": [
        *("--where", "score >= 62 and score_std < 9"),
        *("--top", "10000", "--per", "generator"),
    ],
    "a lower bound from the distribution": ["--where", "score_quantile(0.1) >= 75"],
    "exact duplicates": ["--dedupe", "exact", "--top", "10000"],
    "best of four per prompt": ["--best-of", "prompt", "--top", "10000"],
    "a pair per prompt": ["--pairs", "prompt", "--margin", "60"],
    "a sample": ["--sample", "10000"],
}
PLAIN = "SELECT count(*) FROM read_parquet('{}') WHERE score >= 62 AND score_std < 9 AND generator IS NOT NULL"


def make_table(folder: Path, num_rows: int) -> None:
    """Scores around 55 with a normal distribution each; four images per prompt, ten generators."""
    chance, output = np.random.default_rng(0), Folder.at(str(folder))
    for shard in range(-(-num_rows // ROWS_PER_SHARD)):
        numbers = np.arange(shard * ROWS_PER_SHARD, min((shard + 1) * ROWS_PER_SHARD, num_rows))
        store_part(output, PARTS, shard, _rows(numbers, chance))
    plan = PlanFacts(num_rows, -(-num_rows // ROWS_PER_SHARD), ROWS_PER_SHARD, {})
    facts = {"artimuse": "", "started_at": "", "note": None, "config": {}, "versions": {}, "fingerprints": {}}
    RUN_FILE.write(output, ScoreRecord(**facts, status="finished", plan=plan))


def _rows(numbers: np.ndarray, chance: np.random.Generator) -> pa.Table:
    count = len(numbers)
    score = np.clip(chance.normal(55, 15, count), 0, 100).astype(np.float32)
    std = chance.uniform(3, 15, count).astype(np.float32)
    probs = np.exp(-((VALUES_K[None] - score[:, None]) ** 2) / (2 * std[:, None] ** 2))
    probs = (probs / probs.sum(1, keepdims=True)).astype(np.float16)
    known = {
        "row_number": numbers,
        "image_id": [f"{number:09d}.png" for number in numbers],
        "uri": [f"s3://bucket/{number:09d}.png" for number in numbers],
        "status": ["ok"] * count,
        "score": score,
        "score_std": std,
        "score_entropy": np.log(std),
        "score_probs": pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * len(VALUES_K), probs.ravel()),
        "sha256": [chance.bytes(32).hex() for _ in range(count)],
        "phash": chance.integers(0, 2**64, count, dtype=np.uint64),
        "attempt": np.ones(count, np.int8),
        "prompt": [f"a picture of number {number // 4}" for number in numbers],
        "generator": [f"generator {number % 10}" for number in numbers],
    }
    columns = [
        pa.array(known[field.name]).cast(field.type) if field.name in known else pa.nulls(count, field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds, and megabytes at most, of a process."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    assert process.stderr is not None
    if status:
        raise SystemExit(process.stderr.read().decode())
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.make:
        make_table(options.make, options.rows[0])
        return
    found = []
    for num_rows in options.rows:
        folder = Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
        # In a process of its own: a child's largest memory is at first that of its parent.
        make = [sys.executable, __file__, "--make", str(folder / "table"), "--rows", str(num_rows)]
        subprocess.run(make, check=True)
        plain = f"import duckdb; duckdb.sql({PLAIN.format(f'{folder}/table/{PARTS}/*.parquet')!r}).fetchall()"
        commands = {"DuckDB reads three columns": [sys.executable, "-c", plain]}
        for name, asked in COMMANDS.items():
            to = str(folder / "selection.parquet")
            commands[name] = [sys.executable, "-m", "artimuse", "select", str(folder / "table"), "--to", to, *asked]
        for name, command in commands.items():
            rounds = [measure(command) for _ in range(options.rounds)]
            seconds = [round(second, 2) for second, _ in rounds]
            found.append(
                {
                    "rows": num_rows,
                    "what": name,
                    "seconds": statistics.median(seconds),
                    "all_seconds": seconds,
                    "most_mb": round(max(megabytes for _, megabytes in rounds)),
                }
            )
            print(found[-1], flush=True)
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.describe(), "commands": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
