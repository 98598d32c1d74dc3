"""Whole runs with INPUT and OUTPUT on an S3 server: faults, refusals, a killed owner.

Two tests need Ray: workers that have credentials and a client of their own, through faults and when one is killed. A
run has a process of its own where it is killed or where two are to meet at one OUTPUT.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.cli import main
from tests.pictures import encoded, picture
from tests.pipelines.runs import environment
from tests.s3.fault_proxy import Fault, fault_proxy
from tests.s3.server import BUCKET, PRIVATE, Keys, Server, connect, settings

pytestmark = pytest.mark.timeout(240)

NUM_IMAGES = 48
SPOILED_SHARE = 0.1
IMAGES = {f"{number:03d}.png": encoded(picture(5 * number)) for number in range(NUM_IMAGES)}
INPUT = f"s3://{BUCKET}/run"


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    server.put({f"run/{name}": body for name, body in IMAGES.items()})
    return server


def start(*arguments: str, url: str, keys: Keys, **faults: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "artimuse", *arguments],
        env={**os.environ, **settings(url, keys), "RAY_ADDRESS": "local", **faults},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def table(server: Server, prefix: str, tmp_path: Path) -> pa.Table:
    """The score table under a prefix, fetched by another client than ours."""
    s3 = server.client("s3")
    parts = []
    for name in part_names(server, prefix):
        s3.download_file(BUCKET, name, str(tmp_path / Path(name).name))
        parts.append(pq.read_table(tmp_path / Path(name).name, columns=["image_id", "score"]))
    return pa.concat_tables(parts).sort_by("image_id")


def part_names(server: Server, prefix: str) -> list[str]:
    answer = server.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/scores/")
    return [entry["Key"] for entry in answer.get("Contents", [])]


@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut_short"])
def test_a_run_through_faults_loses_no_row_and_changes_no_score(
    filled: Server, fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    output = f"s3://{BUCKET}/out-{fault}"
    with fault_proxy(filled.url, fault, SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, filled.owner)
        assert main(["score", INPUT, output, "--engine", "fake", "--workers", "0", "--json"]) == 0
        assert proxy.num_spoiled > 5
    assert json.loads(capsys.readouterr().out)["num_failed"] == 0
    connect(monkeypatch, filled.url, filled.owner)
    assert_whole(filled, f"out-{fault}", tmp_path, capsys)


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut_short"])
def test_workers_go_through_faults_as_well(
    filled: Server, fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    output = f"s3://{BUCKET}/workers-{fault}"
    with fault_proxy(filled.url, fault, SPOILED_SHARE) as proxy:
        run = start(
            "score", INPUT, output, "--engine", "fake", "--workers", "2", "--json", url=proxy.url, keys=filled.owner
        )
        report, said = run.communicate(timeout=200)
        assert run.returncode == 0, said
        assert proxy.num_spoiled > 5
    assert json.loads(report)["num_failed"] == 0
    connect(monkeypatch, filled.url, filled.owner)
    assert_whole(filled, f"workers-{fault}", tmp_path, capsys)


def assert_whole(server: Server, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"s3://{BUCKET}/{prefix}"]) == 0
    assert "48 images, 48 rows (0 failed)" in capsys.readouterr().err
    found = table(server, prefix, tmp_path)
    assert found["image_id"].to_pylist() == sorted(IMAGES)
    assert found["score"].to_pylist() == pytest.approx([expected_score(body) for body in IMAGES.values()], abs=1e-4)


def expected_score(body: bytes) -> float:
    from artimuse.configs.engine import EngineConfig
    from artimuse.engines import open_engine
    from artimuse.scorer import Scorer
    from artimuse.scoring import STRATEGIES

    return Scorer(open_engine(EngineConfig(name="fake")), STRATEGIES["ordered_100"]).score([body])[0].score


@pytest.mark.parametrize("problem", ["missing bucket", "someone else's bucket", "unknown keys"])
def test_an_output_that_cannot_be_written_is_one_clear_line_before_anything_runs(
    filled: Server, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    bucket, keys = {
        "missing bucket": ("no-such-bucket", filled.owner),
        "someone else's bucket": (PRIVATE, filled.reader),
        "unknown keys": (BUCKET, Keys("nobody", "nothing")),
    }[problem]
    connect(monkeypatch, filled.url, keys)
    assert main(["score", INPUT, f"s3://{bucket}/refused", "--engine", "fake", "--workers", "0"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: s3://{bucket}/refused")
    assert part_names(filled, "refused") == []
    assert filled.client("s3").list_objects_v2(Bucket=PRIVATE, Prefix="refused").get("Contents", []) == []


@pytest.mark.ray
@pytest.mark.long
def test_a_run_killed_on_a_store_is_taken_over_when_its_lock_is_stale(filled: Server, tmp_path: Path):
    output = f"s3://{BUCKET}/killed"
    lab = environment(tmp_path / "lab.log", image_s=1.0)
    faults = {name: lab[name] for name in lab if name.startswith("LAB_") or name == "PYTHONPATH"}
    command = ("score", INPUT, output, "--engine", "fake", "--workers", "2", "--rows-per-part", "4")
    with start(*command, url=filled.url, keys=filled.owner, **faults) as run:
        deadline = time.monotonic() + 90
        while not part_names(filled, "killed"):
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with start(*command, url=filled.url, keys=filled.owner, **faults) as second:
            _, said = second.communicate(timeout=90)
        assert second.returncode == 1
        assert f"error: {output}: another run (process {run.pid} on " in said
        os.kill(run.pid, signal.SIGKILL)
    before = table(filled, "killed", tmp_path)
    assert 0 < len(before) < NUM_IMAGES
    with start(*command, url=filled.url, keys=filled.owner, **faults | {"LAB_IMAGE_S": "0"}) as heir:
        _, said = heir.communicate(timeout=200)
    assert heir.returncode == 0, said
    after = table(filled, "killed", tmp_path)
    assert after["image_id"].to_pylist() == sorted(IMAGES)
    # Its scores differ from call to call, so equal ones were not made again.
    kept = after.filter(pa.compute.is_in(after["image_id"], before["image_id"]))
    assert kept["score"].to_pylist() == before["score"].to_pylist()
