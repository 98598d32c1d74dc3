"""The lock of an output on an S3 server."""

import subprocess
import sys
from pathlib import Path

import pytest

from artimuse.errors import OutputLocked
from artimuse.io.folder import Folder
from artimuse.runs.lock import LOCK_FILE, LockTimes, hold_lock
from tests.s3.server import BUCKET, Server, connect

TIMES = LockTimes(beat_s=0.2, stale_after_s=2.0, settle_s=0.5)
HOLD = f"""
import sys, time
from artimuse.runs.lock import LockTimes, hold_lock
from artimuse.io.folder import Folder
with hold_lock(Folder.at(sys.argv[1]), {TIMES!r}):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def output(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    connect(monkeypatch, server.url, server.owner)
    return Folder.at(f"s3://{BUCKET}/locks/{tmp_path.name}")


def test_a_second_writer_is_refused_and_a_killed_owner_s_lock_taken_over(output: Folder):
    command = [sys.executable, "-c", HOLD, output.url()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "held\n"
            with pytest.raises(OutputLocked, match=f"process {owner.pid} on "), hold_lock(output, TIMES):
                pass
        finally:
            owner.kill()
    with hold_lock(output, TIMES) as lock:
        lock.check()
        with pytest.raises(OutputLocked), hold_lock(output, TIMES):
            pass
    assert not output.exists(LOCK_FILE)
