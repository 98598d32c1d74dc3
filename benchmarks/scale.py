"""What many rows cost, with a no-op for decoding: peak memory of driver and GCS, rows/s, files, the time of `verify`.

Each size runs in a process and a Ray of its own. Run: `python benchmarks/scale.py`.
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
import psutil


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def skip_decoding() -> None:
    """Makes a grey picture of a plan row without a look at its file, in every worker."""
    import numpy as np

    from artimuse.pipelines.rows import decode

    grey = np.full((448, 448, 3), 128, dtype=np.uint8)
    fact = {field.name: None for field in decode._FACTS} | {decode.FETCH_S: 0.0, decode.DECODE_S: 0.0}
    decode._look_at = lambda *_: (fact, grey)


def one_size(num_rows: int) -> dict[str, object]:
    import ray
    from rich.console import Console

    from artimuse.configs.score import ScoreConfig
    from artimuse.configs.verify import VerifyConfig
    from artimuse.pipelines.score import run as score
    from artimuse.table.verify import run as verify

    work = Path(tempfile.mkdtemp(prefix="artimuse-bench-"))
    (work / "here.png").write_bytes(b"")
    with (work / "manifest.csv").open("w") as manifest:
        manifest.write("image_id,uri\n")
        manifest.writelines(f"{row:09d},{work}/here.png\n" for row in range(num_rows))
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=40,
        runtime_env={"worker_process_setup_hook": skip_decoding},
    )
    gcs = next(process for process in psutil.Process().children(recursive=True) if process.name() == "gcs_server")
    console = Console(quiet=True)
    start = time.monotonic()
    config = ScoreConfig(input=str(work / "manifest.csv"), output=str(work / "out"), engine="fake", workers="2")
    report = score(config, console)
    seconds = time.monotonic() - start
    driver_mb, gcs_mb = peak_mb(psutil.Process().pid), peak_mb(gcs.pid)
    start = time.monotonic()
    verified = verify(VerifyConfig(output=str(work / "out")), console)
    verify_s = time.monotonic() - start
    assert verified.exit_status == 0, verified.problems[:3]
    num_files = len(list((work / "out" / "scores").iterdir()))
    shutil.rmtree(work)
    return {
        "rows": num_rows,
        "driver_mb": round(driver_mb, 1),
        "gcs_mb": round(gcs_mb, 1),
        "seconds": round(seconds, 1),
        "rows_per_s": round(report.images_per_s, 1),
        "phases": dict(report.phase_s),
        "files": num_files,
        "verify_s": round(verify_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.one:
        print("RESULT " + json.dumps(one_size(options.one)))
        return
    sizes = []
    for num_rows in options.rows:
        done = subprocess.run([sys.executable, __file__, "--one", str(num_rows)], capture_output=True, text=True)
        line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
        if line is None:
            sys.exit(done.stdout + done.stderr)
        sizes.append(json.loads(line.removeprefix("RESULT ")))
        print(sizes[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.describe(), "sizes": sizes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
