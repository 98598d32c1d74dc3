"""Clusters of more than one node: work goes to all of them, and a node that lacks something stops the run."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artimuse.cli import main
from artimuse.model.find import find_checkpoint
from tests.clusters import PRIVATE_MOUNTS, Cluster, own_cluster, why_no_private_mounts
from tests.pictures import good_folder
from tests.s3.server import free_port

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

# A worker of two takes two CPUs (0.8 of all, shared, in whole CPUs): no node can hold both.
NODE = ("--num-cpus=3", f"--object-store-memory={100 * 2**20}")


@pytest.fixture(scope="module")
def no_private_mounts(tmp_path_factory) -> str | None:
    return why_no_private_mounts(tmp_path_factory.mktemp("mounts"))


@pytest.fixture(scope="module")
def two_nodes(no_private_mounts) -> Iterator[Cluster]:
    """Two raylets; `second` has mounts of its own where the machine permits it."""
    # Without the wait the worker that is up first may do all of a short run.
    with own_cluster(*NODE, RAY_DATA_DEFAULT_WAIT_FOR_MIN_ACTORS_S="60") as cluster:
        prefix = () if no_private_mounts else PRIVATE_MOUNTS
        cluster.start_node("second", [f"--address={cluster.address}", *NODE], prefix=prefix)
        yield cluster


@pytest.mark.parametrize(
    "setting", [("--engine", "fake"), pytest.param(("--model", "nano"), marks=pytest.mark.long)], ids=["fake", "nano"]
)
def test_both_nodes_score(two_nodes, tmp_path, setting):
    good_folder(tmp_path / "in", 40)
    done = two_nodes.score(tmp_path / "in", tmp_path / "out", *setting, "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    rows_by_node = json.loads(done.stdout)["rows_by_worker_node"]
    assert len(rows_by_node) == 2
    assert sum(rows_by_node.values()) == 40
    assert row_numbers(tmp_path / "out") == list(range(40))


@pytest.mark.parametrize("argument", ["INPUT", "OUTPUT", "--model"])
def test_a_node_that_does_not_see_an_argument_stops_the_run_before_anything_is_scored(
    two_nodes, no_private_mounts, tmp_path, argument
):
    if no_private_mounts:
        pytest.skip(no_private_mounts)
    arguments = {"INPUT": good_folder(tmp_path / "in", 40), "OUTPUT": tmp_path / "out", "--model": tmp_path / "nano"}
    arguments["OUTPUT"].mkdir()
    shutil.copytree(find_checkpoint("nano").directory, arguments["--model"])
    with two_nodes.hidden(arguments[argument], node="second"):
        done = two_nodes.score(
            arguments["INPUT"], arguments["OUTPUT"], "--model", arguments["--model"], "--workers", "2"
        )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert re.search(r" node [\d.]+ \([0-9a-f]{8}\): ", line)
    assert str(arguments[argument]) in line
    assert [name for name in arguments if name in line] == [argument]
    left = [path.name for path in arguments["OUTPUT"].iterdir()]
    assert "scores" not in left
    assert not [name for name in left if name.startswith(".node-check")]


@pytest.mark.usefixtures("ray_cluster")
def test_gpus_that_the_cluster_can_never_have_are_refused_at_once(tmp_path, capsys):
    good_folder(tmp_path / "in", 2)
    assert main(["score", str(tmp_path / "in"), str(tmp_path / "out"), "--engine", "fake", "--num-gpus", "1"]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: a worker needs 1 GPU, the cluster has 0 and can get 0")
    assert "--num-gpus 0" in line


def row_numbers(output: Path) -> list[int]:
    return sorted(pq.read_table(output / "scores", columns=["row_number"])["row_number"].to_pylist())


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_at_which_nothing_listens_is_refused_at_once(scheme, tmp_path):
    """In a process that is not connected to Ray yet, as this one may be."""
    address = f"{scheme}127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "artimuse", "score", "photos", "table", "--engine", "fake"],
        env={**os.environ, "RAY_ADDRESS": address},
        cwd=good_folder(tmp_path / "photos", 1).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: RAY_ADDRESS={address}: no cluster answers there")
