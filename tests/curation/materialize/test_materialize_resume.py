"""Runs that are killed or stopped: nothing is lost, nothing is copied twice, and the record is true at any moment."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import artimuse
from artimuse.cli import main
from artimuse.curation.materialize import images, units
from artimuse.io.local import LocalStore
from artimuse.io.location import Location
from tests.curation.materialize.materialized import files, materialize, parts, score, select
from tests.pictures import good_folder

Capture = pytest.CaptureFixture[str]
NUM_IMAGES = 24
ROWS_PER_UNIT = 5
OPTIONS = {"folder": (), "imagefolder": (), "webdataset": ("--shard-mb", "1"), "diffusers-dpo": (), "hpsv3": ()}


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return good_folder(tmp_path / "photos", NUM_IMAGES)


@pytest.fixture
def selections(photos: Path, tmp_path: Path) -> dict[str, str]:
    """By kind."""
    table = score(photos, tmp_path / "table")
    pairs = ("--pairs", "status", "--pairs-per-prompt", "20")
    return {
        "rows": select(table, to=tmp_path / "rows.parquet"),
        "pairs": select(table, to=tmp_path / "pairs.parquet", options=pairs),
    }


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "ROWS_PER_UNIT", ROWS_PER_UNIT)
    monkeypatch.setattr("artimuse.configs.materialize.MB", 20_000)
    monkeypatch.setattr("artimuse.curation.materialize.formats.defaults.MAX_ENTRIES_PER_SHARD", 5)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image was read."""
    counts = Counter[str]()
    real, lock = images.fetch, threading.Lock()

    def counted(location: Location, limits: Any) -> Any:
        with lock:
            counts[Path(location.uri).name] += 1
        return real(location, limits)

    monkeypatch.setattr(images, "fetch", counted)
    return counts


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> bool:
    """Runs until this many files have been written, whole; False if it comes to its end before."""
    real, lock = LocalStore.write, threading.Lock()
    written = 0

    def write(self: LocalStore, path: str, data: bytes) -> None:
        nonlocal written
        with lock:
            written += 1
            if written > number:
                raise Killed
        real(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", write)
        try:
            main(["materialize", *arguments])
        except Killed:
            return True
    return False


def assert_true(folder: Path) -> None:
    """What the record says is copied is there."""
    if list(folder.glob(".materialize/*.parquet")):
        for part in parts(folder):
            assert (folder / part["file"].partition("#")[0]).exists()


@pytest.mark.parametrize("layout", list(OPTIONS))
@pytest.mark.parametrize("step", [1, 3, 8])
def test_however_often_it_is_killed_the_result_is_that_of_one_run(
    layout: str, step: int, selections: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    selection = selections["pairs" if layout in ("diffusers-dpo", "hpsv3") else "rows"]
    materialize(selection, tmp_path / "whole", layout, *OPTIONS[layout], capsys=capsys)
    arguments = (selection, f"{tmp_path}/to", "--format", layout, *OPTIONS[layout])
    number = num_kills = 0
    while killed_at(number, monkeypatch, *arguments):
        assert_true(tmp_path / "to")
        number += step
        num_kills += 1
        assert num_kills < 200
    assert num_kills > 0
    report = materialize(selection, tmp_path / "to", layout, *OPTIONS[layout], capsys=capsys)
    assert (report["num_new"], report["num_failed"]) == (0, 0)
    expected = {
        name: data.replace(f"{tmp_path}/whole".encode(), f"{tmp_path}/to".encode())
        for name, data in files(tmp_path / "whole").items()
    }
    assert files(tmp_path / "to") == expected


def test_files_that_are_there_are_not_fetched_again(
    selections: dict[str, str],
    tmp_path: Path,
    fetched: Counter[str],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):
    assert killed_at(12, monkeypatch, selections["rows"], f"{tmp_path}/to", "--format", "folder")
    there = set(files(tmp_path / "to"))
    assert there
    fetched.clear()
    materialize(selections["rows"], tmp_path / "to", "folder", capsys=capsys)
    assert set(fetched) == set(files(tmp_path / "photos")) - there
    assert set(fetched.values()) == {1}


def test_a_file_that_is_not_what_was_scored_is_not_taken_for_done(
    selections: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    """As a disk may leave it when the power goes."""
    assert killed_at(4, monkeypatch, selections["rows"], f"{tmp_path}/to", "--format", "folder")
    name = sorted(files(tmp_path / "to"))[0]
    (tmp_path / "to" / name).write_bytes(b"")
    materialize(selections["rows"], tmp_path / "to", "folder", capsys=capsys)
    assert files(tmp_path / "to") == files(tmp_path / "photos")


def test_a_shard_is_fetched_once_unless_it_was_cut_off(
    selections: dict[str, str], tmp_path: Path, fetched: Counter[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    options = ("--shard-mb", "1")
    assert killed_at(3, monkeypatch, selections["rows"], f"{tmp_path}/to", "--format", "webdataset", *options)
    done = {part["image_id"] for part in parts(tmp_path / "to")}
    assert done
    fetched.clear()
    materialize(selections["rows"], tmp_path / "to", "webdataset", *options, capsys=capsys)
    assert not done & set(fetched)


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_a_signal_finishes_what_is_in_flight(
    layout: str, selections: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    """The signal comes with the seventh image."""
    real, lock = images.fetch, threading.Lock()
    num_read = 0

    def read(location: Location, limits: Any) -> Any:
        nonlocal num_read
        with lock:
            num_read += 1
            if num_read == 7:
                os.kill(os.getpid(), signal.SIGTERM)
        return real(location, limits)

    monkeypatch.setattr(images, "NUM_AHEAD", 2)
    monkeypatch.setattr(images, "fetch", read)
    options = OPTIONS[layout]
    assert main(["materialize", selections["rows"], f"{tmp_path}/to", "--format", layout, *options]) == 4
    assert "the same command goes on from there" in capsys.readouterr().err
    done = parts(tmp_path / "to")
    assert 0 < len(done) < NUM_IMAGES
    assert_true(tmp_path / "to")
    assert not list((tmp_path / "to").rglob("*.unfinished"))
    report = materialize(selections["rows"], tmp_path / "to", layout, *options, capsys=capsys)
    assert report["num_new"] == NUM_IMAGES - len(done)


def test_what_is_in_flight_is_given_up_after_the_grace(
    selections: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    real = images.fetch

    def read(location: Location, limits: Any) -> Any:
        if Path(location.uri).name == "0007.png":
            os.kill(os.getpid(), signal.SIGTERM)
        return real(location, limits)

    arguments = ["materialize", selections["rows"], f"{tmp_path}/to", "--format", "webdataset", "--shard-mb", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(images, "fetch", read)
        patch.setattr(images, "NUM_AHEAD", 2)
        assert main([*arguments, "--grace-s", "0"]) == 4
    done = set(files(tmp_path / "to"))
    assert main(arguments) == 0
    assert done < set(files(tmp_path / "to"))


def test_two_runs_do_not_share_a_dest(selections: dict[str, str], tmp_path: Path, capsys: Capture):
    from artimuse.io.folder import Folder
    from artimuse.runs.lock import hold_lock

    with hold_lock(Folder.at(f"{tmp_path}/to")):
        assert main(["materialize", selections["rows"], f"{tmp_path}/to", "--format", "folder"]) == 1
    assert "is writing there; wait for it, or stop it" in capsys.readouterr().err


@pytest.mark.long
def test_a_process_that_is_killed_leaves_what_another_goes_on_from(photos: Path, tmp_path: Path, capsys: Capture):
    """A process of its own, which is killed with SIGKILL once there are files."""
    good_folder(tmp_path / "many", 600)
    selection = select(score(tmp_path / "many", tmp_path / "many-table"), to=tmp_path / "many.parquet")
    environment = {**os.environ, "PYTHONPATH": str(Path(artimuse.__file__).parents[1])}
    command = [sys.executable, "-m", "artimuse", "materialize", selection, f"{tmp_path}/to", "--format", "folder"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 90
        while not list((tmp_path / "to").glob("*.png")):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
    there = {name for name in files(tmp_path / "to") if name.endswith(".png") and not name.startswith(".")}
    assert 0 < len(there) < 600
    assert subprocess.run(command, env=environment, timeout=90, stderr=subprocess.DEVNULL).returncode == 0
    found = {name: data for name, data in files(tmp_path / "to").items() if not name.endswith(".unfinished")}
    assert found == files(tmp_path / "many")
