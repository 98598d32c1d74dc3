"""One writer at a time in an output folder, also when the last one was killed."""

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from artimuse.errors import OutputLocked
from artimuse.storage import Folder

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockTimes:
    """Seconds; the defaults suit stores that answer within a second or two."""

    beat_s: float = 10.0
    """How often the owner of a lock object raises its counter."""
    stale_after_s: float = 60.0
    """A newcomer takes over when it has seen no beat for so long, by its own clock: clocks of machines differ."""
    settle_s: float = 2.0
    """How long a taken lock must stay unchallenged: of two that take it at once, the last to write wins."""


@contextmanager
def hold_lock(output: Folder, times: LockTimes | None = None) -> Iterator["Lock"]:
    """Holds the output folder for this process.

    Raises OutputLocked if another run is at work there. A killed owner's lock is free at once on a local disk, and
    after `stale_after_s` on an object store, which has no locks of its own.
    """
    if output.is_local:
        path = Path(output.url(LOCK_FILE))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=0):
                yield Lock()
        except Timeout:
            raise OutputLocked(f"{output.url()}: another run is writing there; wait for it, or stop it") from None
        return
    lock = ObjectLock(output, times or LockTimes())
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


class Lock:
    """A lock that is held as long as its process lives."""

    def check(self) -> None:
        """Raises OutputLocked if another run has taken the lock away."""


@dataclass(frozen=True, slots=True)
class _Claim:
    owner: str
    host: str
    pid: int
    beat: int


class ObjectLock(Lock):
    """A lock object whose counter its owner raises."""

    def __init__(self, output: Folder, times: LockTimes) -> None:
        self.output = output
        self.times = times
        self._claim = _Claim(uuid4().hex, platform.node(), os.getpid(), 0)
        self._released = threading.Event()
        self._usurper: _Claim | None = None
        self._beating = threading.Thread(target=self._beat, name="output-lock", daemon=True)

    def acquire(self) -> None:
        self._wait_until_stale()
        self._write()
        time.sleep(self.times.settle_s)
        if (rival := self._read()) is None or rival.owner != self._claim.owner:
            raise self._locked_by(rival)
        self._beating.start()

    def release(self) -> None:
        self._released.set()
        self._beating.join()
        if self._usurper is None:
            self.output.remove(LOCK_FILE)

    def check(self) -> None:
        if self._usurper:
            raise self._locked_by(self._usurper)

    def _wait_until_stale(self) -> None:
        first = self._read()
        if first is None:
            return
        logger.warning(
            "lock_found output=%s host=%s pid=%d: waiting %.0f s to see whether that run is alive",
            self.output.url(),
            first.host,
            first.pid,
            self.times.stale_after_s,
        )
        deadline = time.monotonic() + self.times.stale_after_s
        while time.monotonic() < deadline:
            time.sleep(min(self.times.beat_s / 2, max(0.0, deadline - time.monotonic())))
            now = self._read()
            if now is None:
                return
            if now != first:
                raise self._locked_by(now)
        logger.warning("lock_taken_over output=%s host=%s pid=%d", self.output.url(), first.host, first.pid)

    def _beat(self) -> None:
        while not self._released.wait(self.times.beat_s):
            now = self._read()
            if now is not None and now.owner != self._claim.owner:
                self._usurper = now
                return
            self._claim = replace(self._claim, beat=self._claim.beat + 1)
            self._write()

    def _read(self) -> _Claim | None:
        if not self.output.exists(LOCK_FILE):
            return None
        return _Claim(**json.loads(self.output.read(LOCK_FILE)))

    def _write(self) -> None:
        claim = self._claim
        fields = {"owner": claim.owner, "host": claim.host, "pid": claim.pid, "beat": claim.beat}
        self.output.write(LOCK_FILE, json.dumps(fields).encode())

    def _locked_by(self, claim: _Claim | None) -> OutputLocked:
        who = f" (host {claim.host}, process {claim.pid})" if claim else ""
        return OutputLocked(f"{self.output.url()}: another run is writing there{who}; wait for it, or stop it")
