"""Runs killed and stopped in every way, in real processes, and what is on disk then."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

import artimuse.pipelines.score  # noqa: F401 - the import takes longer than some of the runs below
from artimuse.cli import main
from tests.pictures import good_folder
from tests.pipelines.runs import Run, environment, still_there

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

NUM_IMAGES = 96
"""12 parts."""
IMAGE_S = 0.05


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good_folder(tmp_path_factory.mktemp("kills") / "in", NUM_IMAGES)


@pytest.fixture
def start(images: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs on one output, and leaves none behind."""
    runs = []

    def start(*options: object, images: Path = images, ray_address: str = "local", **faults: Any) -> Run:
        lab = environment(tmp_path / "lab.log", **{"image_s": IMAGE_S, **faults}) | {"RAY_ADDRESS": ray_address}
        runs.append(Run(images, tmp_path / "out", *options, environment=lab))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.kill()


def row_numbers(output: Path) -> list[int]:
    return sorted(
        number
        for part in (output / "scores").glob("*.parquet")
        for number in pq.read_table(part, columns=["row_number"])["row_number"].to_pylist()
    )


def num_scored(tmp_path: Path) -> int:
    """Images that engines were given."""
    return sum(map(int, (tmp_path / "lab.log").read_text().split()))


def assert_whole(output: Path) -> None:
    assert row_numbers(output) == list(range(NUM_IMAGES))
    assert main(["verify", str(output)]) == 0


@pytest.mark.long
def test_a_driver_killed_twice_loses_nothing_and_its_lock_is_free_at_once(start, tmp_path, images, capsys):
    run = start(image_s=0.1)
    run.wait_for_parts(2)
    before = row_numbers(tmp_path / "out")
    assert main(["score", str(images), str(tmp_path / "out"), "--engine", "fake"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/out: another run (process {run.process.pid} on ")
    run.kill()
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert "unfinished: a run is at work, or was killed, " in capsys.readouterr().err
    run = start()
    run.wait_for_parts(6)
    run.kill()
    assert set(before) < set(row_numbers(tmp_path / "out"))
    assert start(image_s=0.0).end() == 0
    assert_whole(tmp_path / "out")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_driver_killed_at_ten_part_counts_loses_nothing(start, tmp_path):
    before: set[int] = set()
    for num_parts in range(1, 11):
        run = start(image_s=0.1)
        run.wait_for_parts(num_parts)
        run.kill()
        done = set(row_numbers(tmp_path / "out"))
        assert before <= done
        before = done
    assert len(before) < NUM_IMAGES
    assert start(image_s=0.0).end() == 0
    assert_whole(tmp_path / "out")


@pytest.mark.long
def test_a_driver_killed_while_it_tries_failed_rows_again_loses_nothing(start, tmp_path):
    bad = tmp_path / "in"
    bad.mkdir()
    for number in range(NUM_IMAGES):
        (bad / f"{number:04d}.png").write_bytes(b"not a picture")
    assert start(images=bad, image_s=0.0).end() == 3
    good_folder(bad, NUM_IMAGES)
    for _ in range(2):
        run = start("--retry-failed", images=bad)
        run.wait_for(lambda: len(list((tmp_path / "out" / "staged").glob("*.parquet"))) >= 2)
        run.kill()
        assert row_numbers(tmp_path / "out") == list(range(NUM_IMAGES))
    assert start("--retry-failed", images=bad, image_s=0.0).end() == 0
    assert_whole(tmp_path / "out")
    attempts = pq.read_table(tmp_path / "out" / "scores", columns=["attempt"])["attempt"].to_pylist()
    assert attempts == [2] * NUM_IMAGES


@pytest.mark.long
@pytest.mark.parametrize("come", ["with the scores", "later"])
def test_texts_of_runs_that_are_killed_equal_those_of_an_undisturbed_one(start, tmp_path, images, come):
    texts = ("--attributes", "all", "--max-new-tokens", 20)
    assert main(["score", str(images), str(tmp_path / "undisturbed"), "--engine", "fake", *map(str, texts)]) == 0
    if come == "later":
        assert start(image_s=0.0, noise=0.0).end() == 0
    folder = tmp_path / "out" / ("staged" if come == "later" else "scores")
    for num_parts in (2, 4):
        run = start(*texts, noise=0.0, image_s=0.1)
        run.wait_for(lambda wanted=num_parts: len(list(folder.glob("*.parquet"))) >= wanted)
        run.kill()
    assert start(*texts, image_s=0.0, noise=0.0).end() == 0
    assert_whole(tmp_path / "out")
    found, expected = (
        pq.read_table(tmp_path / name / "scores").sort_by("row_number").to_pylist() for name in ("out", "undisturbed")
    )
    assert found == expected
    assert all(row["texts_truncated"] == 0 and row["overall_gestalt"] for row in found)


@pytest.mark.parametrize("how", ["SIGTERM", pytest.param("Ctrl-C", marks=pytest.mark.long)])
def test_a_stopped_run_writes_what_is_in_flight_and_leaves_no_process(start, tmp_path, how):
    run = start("--grace-s", 30, image_s=0.2)
    run.wait_for_parts(3)
    family = run.family()
    assert len(family) > 5
    asked_at = time.monotonic()
    if how == "SIGTERM":
        run.process.send_signal(signal.SIGTERM)
    else:
        run.interrupt()
    assert run.end() == 4
    assert time.monotonic() - asked_at < 30
    _, alive = psutil.wait_procs(family, timeout=3)
    assert still_there(alive) == []
    done = row_numbers(tmp_path / "out")
    assert len(done) == len(set(done)) == num_scored(tmp_path) < NUM_IMAGES
    name = "SIGTERM" if how == "SIGTERM" else "SIGINT"
    assert f"{name}: finishing the images in flight, for at most 30 s; once more to stop at once" in run.said()
    last = run.said().splitlines()[-1]
    assert last == f"interrupted: {len(done)} of {NUM_IMAGES} images are done; the same command goes on from there"


@pytest.mark.long
def test_a_second_ctrl_c_ends_at_once(start, tmp_path):
    run = start("--grace-s", 300, image_s=60.0)
    run.wait_for((tmp_path / "lab.log").exists)
    family = run.family()
    run.interrupt()
    run.wait_for(lambda: "once more to stop at once" in run.said())
    asked_at = time.monotonic()
    run.interrupt()
    assert run.end() == 4
    assert time.monotonic() - asked_at < 15
    _, alive = psutil.wait_procs(family, timeout=3)
    assert still_there(alive) == []
    assert run.said().splitlines()[-1] == "interrupted: SIGINT; the same command goes on from what is on disk"
    assert row_numbers(tmp_path / "out") == []


@pytest.mark.long
def test_workers_killed_while_scoring_and_between_a_part_and_its_receipt_cost_nothing(start, tmp_path):
    run = start(kill_at="-000008-")
    run.wait_for_parts(3)
    scorers = [process for process in run.family() if "UnitActor" in " ".join(process.cmdline())]
    assert scorers
    scorers[0].kill()
    assert run.end() == 0
    assert (tmp_path / "lab.killed").exists()
    assert_whole(tmp_path / "out")


@pytest.mark.long
def test_one_of_three_nodes_killed_costs_nothing(start, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    for name, value in environment(tmp_path / "lab.log", image_s=0.2).items():
        monkeypatch.setenv(name, value)
    node = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        del node["include_dashboard"]
        victim, _ = cluster.add_node(**node), cluster.add_node(**node)
        cluster.wait_for_nodes()
        run = start("--workers", 6, ray_address=cluster.address, image_s=0.2)
        run.wait_for_parts(4)
        cluster.remove_node(victim, allow_graceful=False)
        assert run.end() == 0, run.said()
    finally:
        cluster.shutdown()
    assert_whole(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "run.json").read_text())["report"]
    assert len(report["rows_by_worker_node"]) == 3, "the node that was lost had done some of the work"
