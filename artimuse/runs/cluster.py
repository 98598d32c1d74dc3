"""The Ray cluster that a run goes to, or starts on this machine."""

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ray
from ray.data import DataContext
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from artimuse.errors import ArtiMuseError, ClusterProblem

CONNECT_TIMEOUT_S = 10.0


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


def possible_resources() -> Mapping[str, float]:
    """What the cluster has, or its autoscaler may add."""
    resources = dict(ray.cluster_resources())
    # The one call that knows the autoscaler's limits (Ray 2.60; Ray Data itself uses it, there is no public one).
    can_get = ray._private.state.state.get_max_resources_from_cluster_config() or {}
    for name, amount in can_get.items():
        resources[name] = max(resources.get(name, 0), amount)
    return resources


def cause_of(error: Exception) -> ArtiMuseError | None:
    """The exception of ours inside Ray's, which pass for it by type but carry a stack trace as their message.

    Its first line is what we wrote: Ray appends advice on its own settings (Ray 2.60).
    """
    inner: BaseException | None = error
    while inner is not None and (type(inner).__module__.startswith("ray.") or hasattr(inner, "cause")):
        inner = getattr(inner, "cause", None) or inner.__cause__
    return type(inner)(str(inner).split("\n", 1)[0]) if isinstance(inner, ArtiMuseError) else None


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Places an actor that the run cannot do without: it survives the loss of any node but the driver's own."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
