"""A cluster of the shape of cluster/: nodes come from none when a run asks for them, and go when it has ended."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray._private.services import get_node_ip_address
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FakeMultiNodeProvider

from tests.clusters import Cluster, free_port, own_cluster, wait_until
from tests.pictures import good_folder

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(300)]

HEAD = "ray.head.default"  # as the stand-in for a cloud demands
NODES: dict[str, dict[str, Any]] = {
    HEAD: {"resources": {"CPU": 0, "GPU": 0}, "max_workers": 0},
    "decode": {"resources": {"CPU": 2}, "max_workers": 2, "idle_timeout_s": 30},
    # A GPU in name only.
    "gpu": {"resources": {"CPU": 0, "GPU": 1}, "max_workers": 2, "idle_timeout_s": 15},
}
KINDS_OF_NODES = """
import json, ray
ray.init(log_to_driver=False, logging_level="error")
has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
print(json.dumps(sorted("gpu" if "GPU" in each else "decode" if "CPU" in each else "head" for each in has)))
"""


def autoscaler_config(address: str) -> dict[str, Any]:
    """For Ray's own stand-in for a cloud, which starts raylets on this machine."""
    provider = {
        "type": "external",
        "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "gcs_address": address,
        "launch_multiple": True,
        "head_node_id": FAKE_HEAD_NODE_ID,
    }
    lists = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")
    commands = ("setup_commands", "head_setup_commands", "worker_setup_commands")
    starts = ("head_start_ray_commands", "worker_start_ray_commands")
    return {
        "cluster_name": "local",
        "max_workers": 4,
        "idle_timeout_minutes": 1,
        "provider": provider,
        "available_node_types": {
            name: {"node_config": {}, "min_workers": 0, **node_type} for name, node_type in NODES.items()
        },
        "head_node_type": HEAD,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in (*lists, *commands, *starts)},
        "file_mounts_sync_continuously": False,
    }


@pytest.fixture
def growing_cluster(tmp_path: Path) -> Iterator[Cluster]:
    port = free_port()
    config = tmp_path / "autoscaler.json"
    config.write_text(json.dumps(autoscaler_config(f"{get_node_ip_address()}:{port}")))
    variables = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    store = f"--object-store-memory={150 * 2**20}"
    options = ("--num-cpus=0", "--num-gpus=0", store, f"--port={port}", f"--autoscaling-config={config}")
    with own_cluster(*options, **variables) as cluster:
        yield cluster


def kinds_of_nodes(cluster: Cluster) -> list[str]:
    done = cluster.run(sys.executable, "-c", KINDS_OF_NODES)
    kinds: list[str] = json.loads(done.stdout) if done.returncode == 0 else []
    return kinds


def test_a_run_brings_gpus_from_none_and_leaves_the_head_alone(growing_cluster, tmp_path):
    """Ray is what is tested: its autoscaler has to understand what the run asks for."""
    good_folder(tmp_path / "in", 60)
    assert kinds_of_nodes(growing_cluster) == ["head"]
    options = ("--engine", "fake", "--device", "cuda", "--workers", "1:2", "--json")
    done = growing_cluster.score(tmp_path / "in", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_new_rows"] == 60
    assert {"decode", "gpu", "head"} == set(kinds_of_nodes(growing_cluster))
    wait_until(lambda: kinds_of_nodes(growing_cluster) == ["head"], timeout_s=90)
