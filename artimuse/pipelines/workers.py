"""How many workers of what size a scoring run gets, from what was asked for and what the cluster has or can get."""

from dataclasses import dataclass

import ray
from ray.data import ActorPoolStrategy

from artimuse.configs.score import ScoreConfig
from artimuse.errors import ClusterProblem
from artimuse.runs.cluster import possible_resources

# What CPU workers leave free for writing parts and reading the plan: a pool that takes every CPU starves them.
CPU_SHARE_OF_WORKERS = 0.8
# An H100 scores 89 images/s (docs/bench.md), a CPU decodes about 80 JPEGs of a megapixel.
DECODERS_PER_GPU_WORKER = 2
# Weights of all workers together may take this share of the cluster's memory.
MEMORY_SHARE_OF_WEIGHTS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """The actors that hold the model."""

    min_size: int
    max_size: int
    num_gpus: float
    """GPUs per worker."""
    num_cpus: float
    """CPUs per worker."""
    max_decoders: int
    """Actors of one CPU each that decode for workers with GPUs."""

    def pool(self, num_units: int) -> ActorPoolStrategy:
        """Not more actors than there are units for."""
        low, high = min(self.min_size, num_units), min(self.max_size, num_units)
        # Two tasks per actor: the next unit waits at the actor while one is scored.
        return ActorPoolStrategy(min_size=low, max_size=high, max_tasks_in_flight_per_actor=2)


def plan_workers(config: ScoreConfig, *, weight_bytes: int) -> Workers:
    """How many workers of what size, from what was asked for and what the cluster has or can get.

    Raises ClusterProblem if GPUs are asked for that the cluster can never have.
    """
    now, possible = ray.cluster_resources(), possible_resources(wanted=_wanted(config))
    num_gpus = config.num_gpus
    if num_gpus is None:
        num_gpus = 1.0 if config.device != "cpu" and possible.get("GPU", 0) > 0 else 0.0
    if num_gpus > 0 and possible.get("GPU", 0) < num_gpus:
        raise ClusterProblem(
            f"a worker needs {num_gpus:g} GPU, the cluster has {now.get('GPU', 0):g} and can get"
            f" {possible.get('GPU', 0):g}; use --num-gpus 0 to score on CPUs"
        )
    if config.device == "cuda" and num_gpus == 0:
        raise ClusterProblem("--device cuda: the cluster has no GPU and can get none")
    if num_gpus > 0:
        ceiling = max(1, int(possible["GPU"] / num_gpus))
        low, high = config.worker_range or (1, ceiling)
        # CPUs go to decoding; a worker that waits for its GPU needs next to none.
        decoders = max(1, int(CPU_SHARE_OF_WORKERS * possible.get("CPU", 1)))
        return Workers(min_size=low, max_size=high, num_gpus=num_gpus, num_cpus=0, max_decoders=decoders)
    num_cpus = now.get("CPU", 1)
    fits = int(MEMORY_SHARE_OF_WEIGHTS * now.get("memory", 0) / max(weight_bytes, 1))
    low, high = config.worker_range or (max(1, min(int(num_cpus), fits)),) * 2
    share = CPU_SHARE_OF_WORKERS * num_cpus / high
    # Ray takes fractions below one CPU only.
    cpus_each = int(share) if share >= 1 else round(share, 3)
    return Workers(min_size=low, max_size=high, num_gpus=0, num_cpus=cpus_each, max_decoders=0)


def _wanted(config: ScoreConfig) -> dict[str, float]:
    """What the options name of a cluster that does not say what it can get."""
    if config.device != "cuda" and not config.num_gpus:
        return {}
    num_gpus = 1.0 if config.num_gpus is None else config.num_gpus
    _, most = config.worker_range or (1, 1)
    return {"GPU": num_gpus * most, "CPU": DECODERS_PER_GPU_WORKER * most / CPU_SHARE_OF_WORKERS}
