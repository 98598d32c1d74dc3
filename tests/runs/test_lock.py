"""The lock of an output: of the operating system on a local disk, an object with a heart beat elsewhere."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artimuse.errors import BadOutput, OutputLocked
from artimuse.io.folder import Folder
from artimuse.runs.lock import LOCK_FILE, LockTimes, ObjectLock, hold_lock
from tests.table.score_rows import filesystem_of

TIMES = LockTimes(beat_s=0.05, stale_after_s=0.5, settle_s=0.1)
HOLD = """
import sys
from artimuse.runs.lock import hold_lock
from artimuse.io.folder import Folder
with hold_lock(Folder.at(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def local(tmp_path: Path) -> Folder:
    return Folder.at(str(tmp_path / "output"))


@pytest.fixture
def store(memory_url: str) -> Folder:
    return Folder.at(memory_url)


def holder(output: Folder) -> subprocess.Popen:
    """A process that holds the lock until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, output.url()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def eventually(is_true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_second_process_is_refused_and_told_who_is_there(local: Folder):
    process = holder(local)
    with process, pytest.raises(OutputLocked) as caught, hold_lock(local):
        pytest.fail("two writers")
    assert str(caught.value).startswith(f"{local.url()}: another run (process {process.pid} on ")
    assert "wait for it, or stop it" in str(caught.value)


def test_a_second_writer_in_the_same_process_is_refused(local: Folder):
    with hold_lock(local):
        with pytest.raises(OutputLocked), hold_lock(local):
            pytest.fail("two writers")
        with pytest.raises(OutputLocked), hold_lock(local):
            pytest.fail("two writers: the first refusal has taken the lock away")


def test_a_killed_owner_s_lock_is_free_at_once(local: Folder):
    process = holder(local)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    with hold_lock(local) as lock:
        lock.check()


def test_a_lock_is_free_after_the_run_also_after_an_error(local: Folder):
    with pytest.raises(RuntimeError, match="broken"), hold_lock(local):
        raise RuntimeError("broken")
    with hold_lock(local):
        pass


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(BadOutput, match=r"file/output/\.lock: cannot be written"),
        hold_lock(Folder.at(str(tmp_path / "file" / "output"))),
    ):
        pytest.fail("held")


def test_a_file_system_without_locks_gets_a_heart_beat(local: Folder, monkeypatch: pytest.MonkeyPatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with hold_lock(local, TIMES) as lock:
        assert isinstance(lock, ObjectLock)
        with pytest.raises(OutputLocked), hold_lock(local, TIMES):
            pytest.fail("two writers")
    with hold_lock(local, TIMES):
        pass


def test_a_store_s_lock_is_taken_and_given_back(store: Folder):
    with hold_lock(store, TIMES) as lock:
        lock.check()
        assert json.loads(store.read(LOCK_FILE))["pid"] == os.getpid()
    assert not store.exists(LOCK_FILE)


def test_a_second_writer_is_refused_while_the_first_beats(store: Folder):
    with hold_lock(store, TIMES) as first:
        start = time.monotonic()
        with pytest.raises(OutputLocked, match=f"process {os.getpid()} on "), hold_lock(store, TIMES):
            pytest.fail("two writers")
        assert time.monotonic() - start < TIMES.stale_after_s, "it need not wait for the lock to get stale"
        first.check()
    with hold_lock(store, TIMES):
        pass


def test_a_lock_that_stands_still_is_taken_over(store: Folder, caplog: pytest.LogCaptureFixture):
    leave_dead_lock(store)
    start = time.monotonic()
    with hold_lock(store, TIMES) as lock:
        assert time.monotonic() - start >= TIMES.stale_after_s
        lock.check()
    assert "another run (process 7 on elsewhere) was at work here; waiting up to" in caplog.text
    assert "taking over" in caplog.text


def test_a_lock_given_back_while_a_newcomer_waits_is_free(store: Folder):
    patient = LockTimes(beat_s=0.05, stale_after_s=60, settle_s=0.05)
    leave_dead_lock(store)
    taken = threading.Event()

    def wait_for_it() -> None:
        with hold_lock(store, patient):
            taken.set()

    newcomer = threading.Thread(target=wait_for_it)
    newcomer.start()
    assert not taken.wait(0.2)
    store.remove(LOCK_FILE)
    newcomer.join(timeout=10)
    assert taken.is_set()


@pytest.mark.parametrize("is_stale", [False, True])
def test_of_newcomers_at_once_one_wins(store: Folder, is_stale: bool):
    if is_stale:
        leave_dead_lock(store)
    outcomes: list[str] = []
    together, over = threading.Barrier(4), threading.Event()

    def come() -> None:
        together.wait()
        try:
            with hold_lock(store, TIMES) as lock:
                outcomes.append("held")
                over.wait(10)
                lock.check()
        except OutputLocked:
            outcomes.append("refused")

    newcomers = [threading.Thread(target=come) for _ in range(4)]
    for newcomer in newcomers:
        newcomer.start()
    eventually(lambda: len(outcomes) == 4)
    over.set()
    for newcomer in newcomers:
        newcomer.join(timeout=10)
    assert sorted(outcomes) == ["held", "refused", "refused", "refused"]


def test_an_owner_that_lost_its_lock_is_told_and_leaves_the_new_one_alone(store: Folder):
    claim = json.dumps({"owner": "another", "host": "elsewhere", "pid": 8, "beat": 0}).encode()
    with hold_lock(store, TIMES) as lock:
        store.write(LOCK_FILE, claim)
        eventually(lambda: raises_locked(lock.check))
        with pytest.raises(OutputLocked, match=r"another run \(process 8 on elsewhere\) has taken over"):
            lock.check()
    assert store.read(LOCK_FILE) == claim


def test_an_owner_that_slept_looks_before_it_goes_on(store: Folder):
    lock = ObjectLock(store, TIMES)  # never beats: it was stopped right after it had taken the lock
    lock._write()
    lock.check()
    time.sleep(TIMES.stale_after_s)
    lock.check()  # nobody else came
    store.write(LOCK_FILE, json.dumps({"owner": "another", "host": "elsewhere", "pid": 8, "beat": 0}).encode())
    with pytest.raises(OutputLocked):
        lock.check()


def test_a_store_that_fails_for_a_moment_does_not_stop_the_heart(store: Folder, monkeypatch: pytest.MonkeyPatch):
    with hold_lock(store, TIMES) as lock:
        with monkeypatch.context() as outage:
            outage.setattr(type(filesystem_of(store)), "cat_file", failing)
            outage.setattr(type(filesystem_of(store)), "pipe_file", failing)
            time.sleep(4 * TIMES.beat_s)
        beat = json.loads(store.read(LOCK_FILE))["beat"]
        eventually(lambda: json.loads(store.read(LOCK_FILE))["beat"] > beat)
        lock.check()
    assert not store.exists(LOCK_FILE)


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"owner": "x"}'])
def test_a_lock_file_without_a_claim_is_free(store: Folder, content: bytes):
    store.write(LOCK_FILE, content)
    with hold_lock(store, TIMES):
        pass


def leave_dead_lock(output: Folder) -> None:
    """As the owner's last beat left it before it was killed."""
    output.write(LOCK_FILE, json.dumps({"owner": "dead", "host": "elsewhere", "pid": 7, "beat": 41}).encode())


def raises_locked(check: Callable[[], None]) -> bool:
    try:
        check()
    except OutputLocked:
        return True
    return False


def failing(*_: object, **__: object) -> None:
    raise ConnectionError("the store is away")
