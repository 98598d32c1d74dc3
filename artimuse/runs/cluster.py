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

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
MAX_DIRECTORY_CHARS = 107 - len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")


def connect(*, debug: bool) -> None:
    """Connects to the cluster of RAY_ADDRESS or of this machine; starts a local one if there is none.

    Raises ClusterProblem if the cluster does not answer, does not accept the token, or does not start.
    """
    if not debug:
        _silence_ray()
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "")
        _refuse_dead_address(address)
        if address in ("", "local"):
            _refuse_long_directory()
            # A busy machine may need longer than Ray waits for its own processes.
            _try_to_connect(2, debug=debug, problem="Ray does not start", advice="; --workers 0 does without")
        else:
            _try_to_connect(1, debug=debug, problem="cannot connect to Ray")
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = debug
    # A cluster may need longer than Ray's half hour to get its GPUs; the person watching decides when to give up.
    context.execution_no_progress_timeout_s = -1


def starts_here() -> bool:
    """True if `connect` would start Ray on this machine."""
    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "")
    # Where `ray start` notes the cluster of this machine (Ray 2.60).
    return address == "local" or (not address and not (Path(_directory()) / "ray" / "ray_current_cluster").exists())


def _try_to_connect(num_attempts: int, *, debug: bool, problem: str, advice: str = "") -> None:
    """Raises ClusterProblem, at once if it is an answer of a cluster."""
    for num_left in reversed(range(num_attempts)):
        try:
            _init(debug=debug)
            return
        except ClusterProblem:
            raise
        except Exception as error:  # Ray has no kind of its own for processes that do not start (Ray 2.60)
            if not num_left:
                raise ClusterProblem(f"{problem}: {_first_line(error)}{advice}") from error
            logger.warning("%s: %s; trying once more", problem, _first_line(error))
            ray.shutdown()


def _init(*, debug: bool) -> None:
    """Raises ClusterProblem for a cluster that does not answer or accept the token, else what Ray raises."""
    with nullcontext() if debug else _hidden_stderr():
        try:
            level = logging.INFO if debug else logging.ERROR
            ray.init(include_dashboard=False, log_to_driver=debug, logging_level=level)
        except ConnectionError as error:
            # To a cluster with tokens the wrong one, or none, looks like no answer at all (Ray 2.60).
            raise ClusterProblem(
                f"cannot connect to Ray: {_first_line(error)}; if it runs and wants a token, set"
                " RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with its token"
            ) from error
        except AuthenticationError as error:
            raise ClusterProblem(f"cannot connect to Ray: {_first_line(error)}") from error
        except SystemExit as error:  # Ray's own answer to SIGTERM (Ray 2.60)
            raise KeyboardInterrupt from error


def _refuse_long_directory() -> None:
    """Raises ClusterProblem if Ray cannot make its sockets: it would wait for half a minute, and not say why."""
    if len(_directory()) > MAX_DIRECTORY_CHARS:
        raise ClusterProblem(
            f"Ray does not start: its sockets are to be in {_directory()}, and the path of a socket may have 107"
            f" characters; set RAY_TMPDIR to a directory of at most {MAX_DIRECTORY_CHARS}, such as /tmp"
        )


def _directory() -> str:
    """Where Ray keeps its sessions (Ray 2.60)."""
    return str(Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp").absolute())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


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


def possible_resources(*, wanted: Mapping[str, float]) -> Mapping[str, float]:
    """What the cluster has, or its autoscaler may add.

    Ray's own autoscalers do not say what they may add (Ray 2.60): they are taken to have what is wanted.
    """
    resources = dict(ray.cluster_resources())
    # The one call that knows an autoscaler's limits (Ray 2.60; Ray Data itself uses it, there is no public one).
    limits = ray._private.state.state.get_max_resources_from_cluster_config()
    can_get = limits if limits is not None else wanted if _has_autoscaler() else {}
    for name, amount in can_get.items():
        resources[name] = max(resources.get(name, 0), amount)
    return resources


def _has_autoscaler() -> bool:
    """Whether the head was started for an autoscaler (v2, as KubeRay does): known before it runs (Ray 2.60)."""
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    return bool(is_autoscaler_v2(fetch_from_server=True))


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
