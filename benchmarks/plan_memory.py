"""How long planning takes and how much memory it adds, per kind of manifest.

python benchmarks/plan_memory.py [NUM_ROWS]
"""

import json
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.io.folder import Folder
from artimuse.sources import open_source
from artimuse.table.plan import write_plan

NUM_ROWS = 1_000_000
KINDS = ("parquet", "csv", "jsonl")


def main() -> None:
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_ROWS
    print(f"{'manifest':>10} {'rows':>12} {'seconds':>8} {'added peak RSS, MiB':>20}")
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            manifest = Path(folder) / f"manifest.{kind}"
            write_manifest(manifest, num_rows)
            # A fresh process for each: the peak of a process never falls again.
            with get_context("spawn").Pool(1) as pool:
                seconds, added_mib = pool.apply(measure, (str(manifest), str(Path(folder) / "output")))
        print(f"{kind:>10} {num_rows:>12,} {seconds:>8.1f} {added_mib:>20.0f}")


def measure(manifest: str, output: str) -> tuple[float, float]:
    before_mib, start = peak_rss_mib(), time.perf_counter()
    write_plan(open_source(manifest), Folder.at(output))
    return time.perf_counter() - start, peak_rss_mib() - before_mib


def write_manifest(path: Path, num_rows: int) -> None:
    """Ids of 36 characters and URIs of 66, like a crawl's, in no order; a Parquet file of one row group."""
    rows = (
        {"uri": f"s3://crawl-2026-03/images/{name}.jpg", "image_id": name, "likes": number % 997}
        for number, name in enumerate(names(num_rows))
    )
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=num_rows)
        return
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("uri,image_id,likes\n")
        for row in rows:
            file.write((json.dumps(row) if path.suffix == ".jsonl" else ",".join(map(str, row.values()))) + "\n")


def names(num_rows: int) -> Iterator[str]:
    for number in range(num_rows):
        yield f"{number * 2654435761 % 2**32:08x}-{number % 1000:03d}-{number:023d}"


def peak_rss_mib() -> float:
    # Not `ru_maxrss`: a process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
