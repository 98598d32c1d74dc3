"""The graph on clusters of every shape it must survive, and with workers that die or fail."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from artimuse.cli import main
from artimuse.configs.score import ScoreConfig
from artimuse.io.location import Location
from artimuse.pipelines import on_ray, score
from artimuse.pipelines.admission import make_admission
from artimuse.pipelines.backend import Sizes
from tests.broken_engines import FAULT, BrokenEngineConfig
from tests.clusters import SCORE, Cluster, own_cluster, wait_until
from tests.pictures import encoded, good_folder, mixed_folder, picture

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

FAKE = ("--engine", "fake", "--max-failed", "1")
NUM_GOOD = 151

SCORE_IN_SMALL_SHARDS = """
import functools, sys
from artimuse import cli
from artimuse.pipelines import backend, score
score.run = functools.partial(score.run, sizes=backend.Sizes(rows_per_shard=50, rows_per_group=50))
sys.exit(cli.main(["score", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def small_cluster() -> Iterator[Cluster]:
    """Two logical CPUs, and two GPUs that are only declared: the fake engine does not look for them."""
    with own_cluster("--num-cpus=2", "--num-gpus=2", f"--object-store-memory={200 * 2**20}") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> tuple[Path, dict[str, str | None]]:
    """A folder of good and bad files: image_id -> error code, None for good."""
    folder = good_folder(tmp_path_factory.mktemp("pictures"), NUM_GOOD)
    return folder, {f"{i:04d}.png": None for i in range(NUM_GOOD)} | mixed_folder(folder)


@pytest.fixture(scope="module")
def rows(pictures, tmp_path_factory) -> list[dict]:
    """What every shape of cluster has to make of the pictures, as made in this process."""
    folder, codes = pictures
    output = tmp_path_factory.mktemp("output")
    assert main(["score", str(folder), str(output), *FAKE, "--workers", "0"]) == 0
    rows = table(output)
    assert {row["image_id"]: row["error_code"] for row in rows} == codes
    assert len(rows) == len(codes)
    return rows


@pytest.mark.long
def test_two_cpus_are_enough_for_as_many_workers_as_there_are_cpus(small_cluster, pictures, tmp_path, rows):
    done = small_cluster.score(pictures[0], tmp_path, *FAKE, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == rows


def test_workers_with_gpus_are_fed_by_decoders_and_score_the_same(small_cluster, pictures, tmp_path, rows):
    # A row short of everything: parts of a whole shard are put together.
    limit = len(rows) - 1
    arguments = (*FAKE, "--num-gpus", "1", "--workers", "1:2", "--limit", limit)
    done = small_cluster.score(pictures[0], tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert table(tmp_path) == rows[:limit]
    rows_per_part = limit // (4 * 2)
    assert {len(numbers) for numbers in rows_by_part(tmp_path).values()} == {rows_per_part}


@pytest.mark.long
def test_workers_with_gpus_mix_no_shards(small_cluster, pictures, tmp_path, rows):
    arguments = (pictures[0], tmp_path, *FAKE, "--num-gpus", "1", "--workers", "2")
    done = small_cluster.run(sys.executable, "-c", SCORE_IN_SMALL_SHARDS, *arguments)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == rows
    assert_no_part_mixes_shards(tmp_path, rows_per_shard=50)


@pytest.mark.long
def test_workers_with_gpus_describe_rows_of_several_shards(small_cluster, pictures, tmp_path):
    sizes = Sizes(rows_per_shard=50, rows_per_group=50)
    for output, attributes in (("together", "all"), ("later", "none")):
        config = ScoreConfig(
            input=str(pictures[0]),
            output=str(tmp_path / output),
            engine="fake",
            workers="0",
            attributes=attributes,
            max_new_tokens=20,
            max_failed=1,
        )
        assert score.run(config, Console(quiet=True), sizes=sizes).exit_status == 0
    texts = ("--attributes", "all", "--max-new-tokens", "20", "--dtype", "float32")
    arguments = (pictures[0], tmp_path / "later", *FAKE, *texts, "--num-gpus", "1", "--workers", "2")
    done = small_cluster.run(sys.executable, "-c", SCORE_IN_SMALL_SHARDS, *arguments)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "later")
    assert rows == table(tmp_path / "together")
    assert [row["texts_truncated"] is None for row in rows] == [row["status"] == "failed" for row in rows]
    assert_no_part_mixes_shards(tmp_path / "later", rows_per_shard=50)


@pytest.mark.usefixtures("ray_cluster")
def test_a_long_run_goes_through_several_graphs_and_shards(tmp_path, monkeypatch):
    sizes = Sizes(rows_per_shard=60, rows_per_group=60, units_per_graph=3, units_per_worker_and_graph=1)
    graphs = []
    monkeypatch.setattr(on_ray, "make_admission", lambda: graphs.append(make_admission()) or graphs[-1])
    good_folder(tmp_path / "in", 200)
    config = ScoreConfig(input=str(tmp_path / "in"), output=str(tmp_path / "out"), engine="fake", workers="2")
    assert score.run(config, Console(quiet=True), sizes=sizes).exit_status == 0
    assert [row["row_number"] for row in table(tmp_path / "out")] == list(range(200))
    # Two workers have a CPU each of four: if graphs kept theirs, the third would wait for ever.
    assert len(graphs) == 4
    assert_no_part_mixes_shards(tmp_path / "out", rows_per_shard=60)


def test_a_worker_that_is_killed_costs_no_row(small_cluster, tmp_path):
    folder_of_large_pictures(tmp_path / "in", 120)
    parts = tmp_path / "out" / "scores"
    command = (*SCORE, tmp_path / "in", tmp_path / "out", *FAKE, "--num-gpus", "0", "--workers", "2")
    with small_cluster.running(*command) as run:
        wait_until(lambda: run.poll() is not None or num_rows_by_name(parts), timeout_s=60)
        assert run.poll() is None, run.communicate()[1]
        killed, *_ = small_cluster.workers("UnitActor")
        os.kill(killed, signal.SIGKILL)
        assert num_rows_by_name(parts) < 120
        _, shown = run.communicate(timeout=100)
    assert run.returncode == 0, shown
    assert [row["row_number"] for row in table(tmp_path / "out")] == list(range(120))


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_on_a_node_that_does_not_see_the_images_stops_the_run_and_fails_no_row(tmp_path, monkeypatch, capsys):
    """As on a node that joins when the nodes have been checked."""
    monkeypatch.setattr(score, "find_witnesses", lambda output, limits: [Location("/elsewhere/a.png")])
    good_folder(tmp_path / "in", 40)
    assert main(["score", str(tmp_path / "in"), str(tmp_path / "out"), *FAKE, "--workers", "2"]) == 1
    line = r"error: node [\d.]+/[0-9a-f]{8}: INPUT is not visible here: cannot read /elsewhere/a\.png\n"
    assert re.search(line, capsys.readouterr().err)
    assert not (tmp_path / "out" / "scores").exists()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
def test_an_engine_that_fails_on_every_image_stops_the_run_and_fails_no_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ScoreConfig, "engine_config", BrokenEngineConfig(name="FailsOnEveryImage"))
    good_folder(tmp_path / "in", 40)
    assert main(["score", str(tmp_path / "in"), str(tmp_path / "out"), *FAKE, "--workers", "2"]) == 1
    assert f"error: the engine fails on every image: RuntimeError: {FAULT}" in capsys.readouterr().err
    assert not (tmp_path / "out" / "scores").exists()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
def test_an_engine_that_does_not_load_stops_the_run_with_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr(ScoreConfig, "engine_config", BrokenEngineConfig(name="FailsToLoad"))
    good_folder(tmp_path / "in", 40)
    with pytest.raises(Exception, match=FAULT):
        main(["score", str(tmp_path / "in"), str(tmp_path / "out"), *FAKE, "--workers", "2"])
    assert not (tmp_path / "out" / "scores").exists()


def folder_of_large_pictures(folder: Path, count: int) -> None:
    """`count` names of one picture that takes a while to decode, so that a run does not end before it is disturbed."""
    folder.mkdir()
    whole = folder.with_suffix(".jpg")
    whole.write_bytes(encoded(picture(width=2400, height=1600), "JPEG"))
    for i in range(count):
        (folder / f"{i:04d}.jpg").symlink_to(whole)


def table(output: Path) -> list[dict]:
    return pq.read_table(output / "scores").sort_by("row_number").to_pylist()


def rows_by_part(output: Path) -> dict[str, list[int]]:
    """The row numbers in each part, by its name."""
    parts = (output / "scores").iterdir()
    return {part.name: pq.read_table(part, columns=["row_number"])["row_number"].to_pylist() for part in parts}


def num_rows_by_name(parts: Path) -> int:
    return sum(int(part.name.split("-")[2]) for part in parts.glob("*.parquet"))


def assert_no_part_mixes_shards(output: Path, *, rows_per_shard: int) -> None:
    for name, numbers in rows_by_part(output).items():
        assert {number // rows_per_shard for number in numbers} == {int(name.split("-")[0])}
