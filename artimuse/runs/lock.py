"""One writer at a time in an output folder, also when the last one was killed."""

import errno
import fcntl
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from artimuse.errors import BadOutput, OutputLocked
from artimuse.io.folder import Folder

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"

# What network file systems without locks answer.
_NO_LOCKS_HERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockTimes:
    """Seconds; the defaults suit stores that answer within a second or two."""

    beat_s: float = 10.0
    """How often the owner of a lock object raises its counter."""
    stale_after_s: float = 60.0
    """A newcomer takes over when it has seen no beat for so long, by its own clock: clocks of machines differ."""
    settle_s: float = 2.0
    """How long a new claim must stay unchallenged: of two made at once, the last to be written wins."""


class Lock:
    """A lock that is held as long as its process lives."""

    def check(self) -> None:
        """Raises OutputLocked if this run may have lost the lock to another."""


@contextmanager
def hold_lock(output: Folder, times: LockTimes | None = None) -> Iterator[Lock]:
    """Holds the output folder for this process.

    Raises OutputLocked if another run is at work there. A killed owner's lock is free at once on a local disk, and
    after `stale_after_s` on an object store, which has no locks of its own.
    """
    if output.is_local:
        try:
            with _lock_file(output):
                yield Lock()
            return
        except _NoFileLocks:
            logger.debug("no file locks output=%s", output.url())
    lock = ObjectLock(output, times or LockTimes())
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who says to hold the lock."""

    owner: str
    host: str
    pid: int
    beat: int

    @staticmethod
    def own() -> "_Claim":
        return _Claim(uuid4().hex, platform.node(), os.getpid(), 0)

    @staticmethod
    def parse(data: bytes) -> "_Claim | None":
        """None for what is no claim: a file lock leaves its file behind empty."""
        try:
            return _Claim(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class _NoFileLocks(Exception):
    """The file system has none."""


@contextmanager
def _lock_file(output: Folder) -> Iterator[None]:
    """The operating system frees the lock when the process ends, however it ends; the file itself stays."""
    path = Path(output.url(LOCK_FILE))
    is_new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise _not_writable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _held_by(output, _Claim.parse(file.read())) from None
        except OSError as error:
            if error.errno in _NO_LOCKS_HERE:
                raise _NoFileLocks from error
            raise BadOutput(f"{path}: cannot be locked ({error.strerror})") from error
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
            raise _held_by(output, None)  # by a run that has just ended, and taken the file away
        _rewrite(file, _Claim.own().as_bytes())
        try:
            yield
        finally:
            _rewrite(file, b"")
            # The run may have written nothing, for example because its INPUT was refused. Who writes something there in
            # this moment keeps it.
            with suppress(OSError):
                if is_new and [found.name for found in path.parent.iterdir()] == [LOCK_FILE]:
                    path.unlink()
                    path.parent.rmdir()


def _not_writable(path: Path, error: OSError) -> BadOutput:
    for folder in path.parents if isinstance(error, FileExistsError) else ():
        if folder.is_symlink() and not folder.exists():
            return BadOutput(
                f"{folder} is a link to {folder.readlink()}, where there is nothing; remove it, or make the folder"
            )
    return BadOutput(f"{path}: cannot be written ({error.strerror})")


def _rewrite(file: BinaryIO, data: bytes) -> None:
    """Writes what is for messages only, so a full disk does not matter."""
    with suppress(OSError):
        file.truncate(0)
        file.write(data)
        file.flush()


class ObjectLock(Lock):
    """A lock object whose counter its owner raises."""

    def __init__(self, output: Folder, times: LockTimes) -> None:
        self.output = output
        self.times = times
        self._claim = _Claim.own()
        self._beat_at = 0.0
        """When the counter was last raised, by the monotonic clock."""
        self._other_owner: _Claim | None = None
        self._released = threading.Event()
        self._beating = threading.Thread(target=self._keep_beating, name="output-lock", daemon=True)

    def acquire(self) -> None:
        """Raises OutputLocked if the lock is alive, or another newcomer is quicker."""
        self._wait_until_stale()
        self._write()
        time.sleep(self.times.settle_s)
        if self._find_other_owner():
            raise _held_by(self.output, self._other_owner)
        self._beating.start()

    def release(self) -> None:
        self._released.set()
        self._beating.join()
        # Without the storage the lock gets stale by itself.
        with suppress(BadOutput):
            if not self._find_other_owner():
                self.output.remove(LOCK_FILE)

    def check(self) -> None:
        silent_s = time.monotonic() - self._beat_at
        if silent_s > self.times.stale_after_s and not self._other_owner:
            self._find_other_owner()  # this process was stopped for long, or the storage was away
        if self._other_owner:
            raise OutputLocked(
                f"{self.output.url()}: another run ({_name(self._other_owner)}) has taken over,"
                f" having heard nothing of this one for {self.times.stale_after_s:.0f} s; this one stops"
            )

    def _wait_until_stale(self) -> None:
        first = self._read()
        if first is None:
            return
        logger.warning(
            "%s: another run (%s) was at work here; waiting up to %.0f s to see whether it still is",
            self.output.url(),
            _name(first),
            self.times.stale_after_s,
        )
        deadline = time.monotonic() + self.times.stale_after_s
        while (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(self.times.beat_s / 2, left_s))
            now = self._read()
            if now is None:
                return
            if now != first:
                raise _held_by(self.output, now)
        logger.warning("%s: it is not; taking over", self.output.url())

    def _keep_beating(self) -> None:
        while not self._released.wait(self.times.beat_s) and not self._other_owner:
            # A storage that fails now may answer the next time; until then `check` watches the clock.
            with suppress(BadOutput):
                if not self._find_other_owner():
                    self._claim = replace(self._claim, beat=self._claim.beat + 1)
                    self._write()

    def _find_other_owner(self) -> bool:
        """Whether the lock is someone else's now."""
        now = self._read()
        if now is not None and now.owner != self._claim.owner:
            self._other_owner = now
        return self._other_owner is not None

    def _read(self) -> _Claim | None:
        try:
            return _Claim.parse(self.output.read(LOCK_FILE))
        except BadOutput:
            if self.output.exists(LOCK_FILE):
                raise
            return None

    def _write(self) -> None:
        self.output.write(LOCK_FILE, self._claim.as_bytes())
        self._beat_at = time.monotonic()


def _held_by(output: Folder, claim: _Claim | None) -> OutputLocked:
    who = f" ({_name(claim)})" if claim else ""
    return OutputLocked(f"{output.url()}: another run{who} is writing there; wait for it, or stop it")


def _name(claim: _Claim) -> str:
    return f"process {claim.pid} on {claim.host}"
