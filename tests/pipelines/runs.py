"""Scoring runs in processes of their own, to be watched and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

import artimuse

LAB = Path(__file__).parent / "lab"
POLL_S = 0.02
PATIENCE_S = 90.0
"""For anything that is waited for."""


def environment(log: Path, *, image_s: float, kill_at: str = "", noise: float = 0.1) -> dict[str, str]:
    """What makes a run's processes load `lab/sitecustomize.py`, and the same artimuse as this process."""
    paths = [str(LAB), str(Path(artimuse.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_ADDRESS": "local",
        "LAB_LOG": str(log),
        "LAB_IMAGE_S": str(image_s),
        "LAB_KILL_AT": kill_at,
        "LAB_NOISE": str(noise),
    }


class Run:
    """`artimuse score` of the fake engine at work, the leader of its own session as in a terminal of its own."""

    def __init__(self, images: Path, output: Path, *options: object, environment: dict[str, str]) -> None:
        self.output = output
        self.log = output.with_suffix(".stderr")
        arguments = ["score", images, output, "--engine", "fake", "--workers", "2", "--rows-per-part", "8", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "artimuse", *map(str, arguments)],
                env=environment,
                stderr=log,
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def num_parts(self) -> int:
        return len(list((self.output / "scores").glob("*.parquet")))

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        """Fails if the run ends first."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            assert self.process.poll() is None, f"the run has ended with {self.process.returncode}: {self.said()}"
            assert time.monotonic() < deadline, f"nothing happens: {self.said()}"
            time.sleep(POLL_S)

    def wait_for_parts(self, count: int) -> None:
        self.wait_for(lambda: self.num_parts() >= count)

    def family(self) -> list[psutil.Process]:
        """The driver, its local Ray and the workers."""
        driver = psutil.Process(self.process.pid)
        return [driver, *driver.children(recursive=True)]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)

    def interrupt(self) -> None:
        """As a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        return self.process.wait(timeout=PATIENCE_S)

    def said(self) -> str:
        return self.log.read_text()


def still_there(processes: list[psutil.Process]) -> list[str]:
    """Those that live, zombies left out: whoever started them has only not asked for them yet."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            pass
    return found
