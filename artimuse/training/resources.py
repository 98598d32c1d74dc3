"""How many training workers of what size, from what was asked for and what the cluster has or can get."""

from dataclasses import dataclass

from artimuse.configs.train import TrainConfig
from artimuse.errors import ClusterProblem
from artimuse.runs.cluster import possible_resources


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What Ray Train is asked for."""

    num_workers: int | tuple[int, int]
    """The number of workers, or the smallest and the largest number."""
    num_cpus: float
    """CPUs per worker."""
    num_gpus: int
    """Per worker: 1 or 0."""


def plan_resources(config: TrainConfig) -> Resources:
    """Raises ClusterProblem for GPUs that the cluster cannot get."""
    # With --device cuda a cluster that does not say what it can get is taken to have a GPU for each worker.
    wanted = {"GPU": float((config.worker_range or (1, 1))[1])} if config.device == "cuda" else {}
    num_gpus = 0 if config.device == "cpu" else int(possible_resources(wanted=wanted).get("GPU", 0))
    if config.device == "cuda" and not num_gpus:
        raise ClusterProblem("--device cuda: the cluster has no GPU and can get none")
    low, high = config.worker_range or (max(1, num_gpus),) * 2
    if 0 < num_gpus < low:
        raise ClusterProblem(
            f"--workers {config.workers}: the cluster can get {num_gpus} GPUs, and each worker needs one"
        )
    return Resources(
        num_workers=low if low == high else (low, high), num_cpus=config.cpus_per_worker, num_gpus=min(num_gpus, 1)
    )
