"""How many workers a run gets of a cluster, without one."""

from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.autoscaler.v2 import utils

from artimuse.configs.presets import paper_text_pretrain
from artimuse.configs.score import ScoreConfig
from artimuse.configs.train import TrainConfig
from artimuse.errors import ClusterProblem
from artimuse.pipelines.workers import Workers, plan_workers
from artimuse.training.resources import Resources, plan_resources

Has = Callable[..., None]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Has:
    """Has Ray know a cluster with these resources, and perhaps an autoscaler and its limits."""

    def has(*, now: dict[str, float], limits: dict[str, float] | None = None, autoscaler: bool = False) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: now)
        monkeypatch.setattr(ray._private.state.state, "get_max_resources_from_cluster_config", lambda: limits)
        monkeypatch.setattr(utils, "is_autoscaler_v2", lambda fetch_from_server: autoscaler)

    return has


def workers(**options: Any) -> Workers:
    return plan_workers(ScoreConfig(input="in", output="out", **options), weight_bytes=1)


def resources(**options: Any) -> Resources:
    config: TrainConfig = paper_text_pretrain("in", "out", **options)
    return plan_resources(config)


def test_gpus_that_an_autoscaler_has_not_started_yet_are_waited_for(cluster):
    cluster(now={"memory": 8e9}, autoscaler=True)
    for options in ({"device": "cuda"}, {"num_gpus": 1.0}):
        found = workers(**options, workers="1:8")
        assert (found.min_size, found.max_size, found.num_gpus, found.max_decoders) == (1, 8, 1.0, 16)
    assert workers(device="cuda").max_size == 1
    assert resources(device="cuda", workers="1:8") == Resources(num_workers=(1, 8), num_cpus=1.0, num_gpus=1)


def test_nobody_waits_for_gpus_that_were_not_asked_for(cluster):
    cluster(now={"CPU": 4.0, "memory": 8e9}, autoscaler=True)
    assert workers(workers="1:8").num_gpus == 0
    assert resources(workers="1:8").num_gpus == 0


def test_without_an_autoscaler_a_cluster_stays_as_it_is(cluster):
    cluster(now={"CPU": 4.0, "memory": 8e9})
    with pytest.raises(ClusterProblem, match="can get none"):
        resources(device="cuda", workers="1:8")
    with pytest.raises(ClusterProblem, match="can get 0"):
        workers(num_gpus=1.0, workers="1:8")


def test_an_autoscaler_that_says_what_it_may_add_is_believed(cluster):
    cluster(now={"CPU": 1.0}, limits={"CPU": 10, "GPU": 2}, autoscaler=True)
    found = workers(device="cuda")
    assert (found.max_size, found.max_decoders) == (2, 8)
    cluster(now={"CPU": 1.0}, limits={"CPU": 10}, autoscaler=True)
    with pytest.raises(ClusterProblem, match="can get none"):
        workers(device="cuda", workers="1:8")
