"""Ray clusters that a test module has to itself: real raylets as child processes, and nothing of them afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 100.0
STOP_TIMEOUT_S = 20.0


@contextmanager
def own_cluster(*options: str, has_dashboard: bool = False, **variables: str) -> Iterator["Cluster"]:
    """A cluster whose head was started with these options of `ray start`, and these environment variables."""
    # Not pytest's tmp_path: sockets lie in here, and a socket's path has at most 107 bytes.
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")), variables)
    try:
        ports = ("--port=0", "--dashboard-agent-listen-port=0", f"--ray-client-server-port={free_port()}")
        dashboard = f"--include-dashboard={has_dashboard}"
        cluster.address = cluster.start_node("head", ["--head", dashboard, *ports, *options])
        yield cluster
    finally:
        cluster.stop()


class Cluster:
    """A head and further raylets on this machine, and what runs on them."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.address = ""
        # Without what Ray has set for a cluster of the pytest process. The folder's name marks what is ours.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = inherited | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "TEST_CLUSTER": str(folder),
            **variables,
        }
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start_node(self, name: str, options: Sequence[str], *, prefix: Sequence[str] = ()) -> str:
        """Starts a raylet, through the command `prefix` if there is one; returns the cluster's address."""
        directory = self.folder / name
        command = [*prefix, "ray", "start", "--block", f"--temp-dir={directory}", *options]
        with (self.folder / f"{name}.log").open("wb") as log:
            node = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._nodes[name] = node
        # Ray writes this file when the node is up.
        address_file = directory / "ray_current_cluster"
        wait_until(
            lambda: node.poll() is not None or (address_file.is_file() and address_file.read_text()),
            timeout_s=START_TIMEOUT_S,
        )
        assert node.poll() is None, (self.folder / f"{name}.log").read_text()
        return address_file.read_text()

    @contextmanager
    def running(self, *command: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A command of this Python environment, with RAY_ADDRESS for this cluster; killed in the end if still there."""
        with subprocess.Popen(
            [str(part) for part in command],
            env=self.environment | {"RAY_ADDRESS": self.address} | variables,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        with self.running(*command, **variables) as process:
            out, error = process.communicate(timeout=RUN_TIMEOUT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def score(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(*SCORE, *arguments, **variables)

    def workers(self, title: str) -> list[int]:
        """Process ids of Ray's workers with this in their title."""
        titles = {pid: _read(f"/proc/{pid}/cmdline") for pid in self._processes()}
        return [pid for pid, text in titles.items() if text.startswith(b"ray::") and title.encode() in text]

    @contextmanager
    def hidden(self, folder: Path, *, node: str) -> Iterator[None]:
        """Puts an empty folder over this one, for a node that was started with the prefix PRIVATE_MOUNTS."""
        enter = ("nsenter", "--mount", f"--target={self._nodes[node].pid}")
        subprocess.run([*enter, "mount", "-t", "tmpfs", "none", folder], check=True)
        try:
            yield
        finally:
            subprocess.run([*enter, "umount", "--lazy", folder], check=True)

    def stop(self) -> None:
        """Ends every process of the cluster and of what ran on it, and waits until they are gone."""
        for node in self._nodes.values():
            node.kill()
            node.wait(STOP_TIMEOUT_S)

        def is_gone() -> bool:
            left = self._processes()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(is_gone, timeout_s=STOP_TIMEOUT_S)
        shutil.rmtree(self.folder)

    def _processes(self) -> list[int]:
        """Processes that have our folder in their environment or command, or a file in it open.

        All three, because Ray's workers overwrite the first two with their title.
        """
        ours = os.fsencode(self.folder)
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdecimal()
            and int(process.name) != os.getpid()
            and any(ours in text for text in (_read(process / "environ"), _read(process / "cmdline"), *_files(process)))
        ]


SCORE = (sys.executable, "-m", "artimuse", "score")
PRIVATE_MOUNTS = ("unshare", "--mount")


def why_no_private_mounts(folder: Path) -> str | None:
    """Why this machine lets no process have mounts of its own; None if it does. `folder` is any existing folder."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return "unshare and nsenter are not installed"
    attempt = subprocess.run(
        [*PRIVATE_MOUNTS, "mount", "-t", "tmpfs", "none", folder], capture_output=True, text=True, check=False
    )
    return f"unshare --mount is not permitted here: {attempt.stderr.strip()}" if attempt.returncode else None


def wait_until(condition: Callable[[], object], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {timeout_s:g} s: {condition}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _read(path: str | Path) -> bytes:
    """Of a process that may be gone, or not be ours to read."""
    with suppress(OSError):
        return Path(path).read_bytes()
    return b""


def _files(process: Path) -> Iterator[bytes]:
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                yield os.fsencode(link.readlink())
