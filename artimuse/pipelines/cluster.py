"""The Ray cluster a run goes to: connecting, and how many workers of what size it gets."""

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import AuthenticationError

from artimuse.configs.engine import Device
from artimuse.configs.score import ScoreConfig
from artimuse.errors import ClusterProblem

# What CPU workers leave free for writing parts and reading the plan: a pool that takes every CPU starves them.
CPU_SHARE_OF_WORKERS = 0.8
# Weights of all workers together may take this share of the cluster's memory.
MEMORY_SHARE_OF_WEIGHTS = 0.5
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """The actors that hold the model."""

    min_size: int
    max_size: int
    num_gpus: float
    """Per worker."""
    num_cpus: float
    """Per worker."""
    max_decoders: int
    """Actors of one CPU each that decode for workers with GPUs."""

    def pool(self, num_units: int) -> ActorPoolStrategy:
        """Not more actors than there are units for."""
        low, high = min(self.min_size, num_units), min(self.max_size, num_units)
        # Two tasks per actor: the next unit waits at the actor while one is scored.
        return ActorPoolStrategy(min_size=low, max_size=high, max_tasks_in_flight_per_actor=2)


def connect(*, debug: bool) -> None:
    """Connects to the cluster of RAY_ADDRESS or of this machine; starts a local one if there is none.

    Raises ClusterProblem if the cluster does not answer or does not accept the token.
    """
    if not debug:
        _silence_ray()
    if not ray.is_initialized():
        _refuse_dead_address(os.environ.get("RAY_ADDRESS", ""))
        with nullcontext() if debug else _hidden_stderr():
            try:
                level = logging.INFO if debug else logging.ERROR
                ray.init(include_dashboard=False, log_to_driver=debug, logging_level=level)
            except ConnectionError as error:
                # To a cluster with tokens the wrong one, or none, looks like no answer at all (Ray 2.60).
                raise ClusterProblem(
                    f"cannot connect to Ray: {str(error).splitlines()[0]}; if it runs and wants a token, set"
                    " RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with its token"
                ) from error
            except AuthenticationError as error:
                raise ClusterProblem(f"cannot connect to Ray: {str(error).splitlines()[0]}") from error
            except SystemExit as error:  # Ray's own answer to SIGTERM (Ray 2.60)
                raise KeyboardInterrupt from error
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = debug
    # A cluster may need longer than Ray's half hour to get its GPUs; the person watching decides when to give up.
    context.execution_no_progress_timeout_s = -1


def _refuse_dead_address(address: str) -> None:
    """Raises ClusterProblem if RAY_ADDRESS names a port that takes no connection: Ray would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?(?P<host>[^:/]+):(?P<port>\d+)", address)
    if match:
        try:
            socket.create_connection((match["host"], int(match["port"])), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise ClusterProblem(f"RAY_ADDRESS={address}: no cluster answers there ({error})") from error


def _silence_ray() -> None:
    """Leaves what Ray has to say to its log files: its lines would bury ours."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray\.")


@contextmanager
def _hidden_stderr() -> Iterator[None]:
    """Ray's C++ part announces its log level on standard error, past every Python setting (Ray 2.60)."""
    saved = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def is_submitted_job() -> bool:
    """True inside `ray job submit`, where the working directory is a copy that disappears."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def refuse_relative_paths(places: Mapping[str, str], *, models: Mapping[str, str]) -> None:
    """Raises ClusterProblem for relative paths in a submitted job: they would point into its temporary copy.

    Both map what an argument is called to its value.
    """
    for name, place in places.items():
        _refuse_relative_path(name, place)
    for name, model in models.items():
        # It may be a built-in name or a Hub id, which look like relative paths.
        if model.startswith(".") or Path(model).is_dir():
            _refuse_relative_path(name, model)


def _refuse_relative_path(name: str, place: str) -> None:
    if "://" not in place and not Path(place).is_absolute():
        raise ClusterProblem(f"{name} {place}: a submitted job needs an absolute path or a URL")


def plan_workers(config: ScoreConfig, *, weight_bytes: int) -> Workers:
    """How many workers of what size, from what was asked for and what the cluster has or can get.

    Raises ClusterProblem if GPUs are asked for that the cluster can never have.
    """
    now, possible = ray.cluster_resources(), possible_resources()
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


def resolve_engine(config: ScoreConfig, workers: Workers, *, model: str) -> ScoreConfig:
    """The configuration with nothing left to the machine it runs on: device, precision and the pinned model."""
    device: Device = "cuda" if workers.num_gpus else "cpu"
    dtype = config.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    return replace(config, model=model, device=device, dtype=dtype)


def possible_resources() -> Mapping[str, float]:
    """What the cluster has, or its autoscaler may add."""
    resources = dict(ray.cluster_resources())
    # The one call that knows the autoscaler's limits (Ray 2.60; Ray Data itself uses it, there is no public one).
    can_get = ray._private.state.state.get_max_resources_from_cluster_config() or {}
    for name, amount in can_get.items():
        resources[name] = max(resources.get(name, 0), amount)
    return resources
