"""Runs that do a part of the work, or some of it again: --limit, --retry-failed, a stop and what comes after it."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artimuse.cli import main
from artimuse.io.folder import Folder
from artimuse.table.parts import PARTS, STAGED, store_part
from tests.pictures import encoded, good_folder, picture

CUT = encoded(picture(width=320, height=240), "JPEG")[:2000]
TEXT = b"I am a letter, not a picture.\n"


def score(folder: Path, *options: object) -> int:
    arguments = ["score", folder / "in", folder / "out", "--engine", "fake", "--workers", "0", *options]
    return main(list(map(str, arguments)))


def verify(folder: Path) -> int:
    return main(["verify", str(folder / "out")])


def table(folder: Path) -> dict[str, dict]:
    rows = pq.read_table(folder / "out" / "scores").to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows)
    return {row["image_id"]: row for row in rows}


def status(folder: Path) -> str:
    return json.loads((folder / "out" / "run.json").read_text())["status"]


def good(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "in" / name).write_bytes(encoded(picture(77)))


@pytest.fixture(scope="module")
def with_bad_files_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 good files, two that are cut and three that are no pictures, scored."""
    folder = tmp_path_factory.mktemp("bad-files")
    good_folder(folder / "in", 20)
    for name, data in {"cut-0": CUT, "cut-1": CUT, "text-0": TEXT, "text-1": TEXT, "text-2": TEXT}.items():
        (folder / "in" / f"{name}.jpg").write_bytes(data)
    assert score(folder) == 3
    for name in ("in", "out"):
        shutil.copytree(folder / name, folder / f"{name}-as-it-was")
    return folder


@pytest.fixture
def with_bad_files(with_bad_files_once: Path) -> Path:
    """The same folder every time, for the plan holds its path."""
    for name in ("in", "out"):
        shutil.rmtree(with_bad_files_once / name)
        shutil.copytree(with_bad_files_once / f"{name}-as-it-was", with_bad_files_once / name)
    return with_bad_files_once


def test_limit_and_limit_again_and_to_the_end(tmp_path, capsys):
    good_folder(tmp_path / "in", 50)
    assert score(tmp_path, "--limit", 20) == 0
    assert "50: 20 scored, 0 failed, 30 to go: the same command goes on from there" in capsys.readouterr().err
    assert sorted(row["row_number"] for row in table(tmp_path).values()) == list(range(20))
    assert status(tmp_path) == "limited"
    assert verify(tmp_path) == 1
    assert "unfinished: the run stopped at its --limit, 30 images have no row yet" in capsys.readouterr().err
    first = table(tmp_path)
    assert score(tmp_path, "--limit", 20) == 0
    assert sorted(row["row_number"] for row in table(tmp_path).values()) == list(range(40))
    assert first.items() <= table(tmp_path).items()
    capsys.readouterr()
    assert score(tmp_path, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_rows"], report["num_new_rows"]) == (50, 10)
    assert first.items() <= table(tmp_path).items()
    assert status(tmp_path) == "finished"
    assert verify(tmp_path) == 0
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 1


def test_a_limit_beyond_the_end_is_the_end(tmp_path):
    good_folder(tmp_path / "in", 5)
    assert score(tmp_path, "--limit", 5) == 0
    assert status(tmp_path) == "finished"
    assert score(tmp_path, "--limit", 5) == 0


def test_repaired_files_are_scored_when_failed_ones_are_tried_again(with_bad_files, capsys):
    folder, before = with_bad_files, table(with_bad_files)
    good(folder, "cut-0.jpg", "text-0.jpg")
    capsys.readouterr()
    assert score(folder, "--retry-failed") == 3
    shown = " ".join(capsys.readouterr().err.split())
    assert "5 failed before: 2 scored now, 3 failed again" in shown
    assert "20 were done before" in shown
    after = table(folder)
    for name, row in after.items():
        if name.startswith(("cut", "text")):
            is_repaired = name in ("cut-0.jpg", "text-0.jpg")
            assert (row["attempt"], row["status"]) == (2, "ok" if is_repaired else "failed")
            assert (row["score"] is not None) == is_repaired
        else:
            assert row == before[name]
    assert verify(folder) == 0


def test_only_rows_with_the_codes_given_are_tried_again(with_bad_files, capsys):
    folder, before = with_bad_files, table(with_bad_files)
    good(folder, "cut-0.jpg", "text-0.jpg", "text-1.jpg", "text-2.jpg")
    capsys.readouterr()
    assert score(folder, "--retry-failed", "unsupported_format", "too_large", "--json") == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["num_new_rows"], report["num_retried"], report["num_recovered"]) == (0, 3, 3)
    assert report["errors"] == {"truncated": 2}
    after = table(folder)
    assert {name for name, row in after.items() if row != before[name]} == {"text-0.jpg", "text-1.jpg", "text-2.jpg"}
    assert score(folder, "--retry-failed", "truncated") == 3
    assert score(folder, "--retry-failed") == 3
    assert {name: row["attempt"] for name, row in table(folder).items() if row["attempt"] > 1} == {
        "cut-0.jpg": 2,
        "cut-1.jpg": 3,
        "text-0.jpg": 2,
        "text-1.jpg": 2,
        "text-2.jpg": 2,
    }
    assert verify(folder) == 0


def test_nothing_to_try_again_is_nothing_to_do(with_bad_files, capsys):
    before = table(with_bad_files)
    capsys.readouterr()
    assert score(with_bad_files, "--retry-failed", "io_error") == 3
    assert "nothing to do: every image was done before; --retry-failed tries the 5 failed again" in " ".join(
        capsys.readouterr().err.split()
    )
    assert table(with_bad_files) == before


def test_a_limit_counts_retries_too(with_bad_files):
    good(with_bad_files, "cut-0.jpg", "cut-1.jpg", "text-0.jpg", "text-1.jpg", "text-2.jpg")
    assert score(with_bad_files, "--retry-failed", "--limit", 2) == 3
    assert sum(row["attempt"] == 2 for row in table(with_bad_files).values()) == 2
    assert score(with_bad_files, "--retry-failed", "--limit", 5) == 0
    assert verify(with_bad_files) == 0


def test_a_retry_that_is_stopped_goes_on_where_it_was(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    names = [f"{number:04d}.png" for number in range(400)]
    for name in names:
        (tmp_path / "in" / name).write_bytes(TEXT)
    good_folder(tmp_path / "in" / "good", 8)
    assert score(tmp_path) == 3
    before = table(tmp_path)
    good(tmp_path, *names)
    stop_when(lambda: list((tmp_path / "out" / STAGED).glob("*.parquet")))
    assert score(tmp_path, "--retry-failed", "--rows-per-part", 8) == 4
    half = table(tmp_path)
    num_recovered = sum(row["attempt"] == 2 for row in half.values())
    assert 0 < num_recovered < 400
    assert (
        f"interrupted: 408 of 408 images are done, {num_recovered} of 400 failed ones were tried again;"
        " the same command goes on from there"
    ) in " ".join(capsys.readouterr().err.split())
    assert verify(tmp_path) == 1
    assert "unfinished: the run was interrupted, every image has a row" in capsys.readouterr().err
    assert score(tmp_path, "--retry-failed", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_retried"], report["num_recovered"]) == (400 - num_recovered,) * 2
    after = table(tmp_path)
    assert {row["attempt"] for name, row in after.items() if name in names} == {2}
    assert {name: row for name, row in half.items() if row["attempt"] == 2}.items() <= after.items()
    assert all(after[name] == before[name] for name in before if name not in names)
    assert verify(tmp_path) == 0


def test_a_retry_that_was_killed_is_put_in_place_by_the_next_run_of_any_kind(with_bad_files):
    output = Folder.at(str(with_bad_files / "out"))
    rows = pq.read_table(with_bad_files / "out" / "scores")
    failed = rows.filter(rows["image_id"].to_numpy() == "cut-0.jpg").to_pylist()
    store_part(output, STAGED, 0, type(rows).from_pylist([{**failed[0], "attempt": 2}], schema=rows.schema))
    assert verify(with_bad_files) == 1
    assert score(with_bad_files) == 3
    assert table(with_bad_files)["cut-0.jpg"]["attempt"] == 2
    assert verify(with_bad_files) == 0


def test_a_run_killed_before_its_shard_was_merged_is_compacted_by_the_next(tmp_path):
    good_folder(tmp_path / "in", 30)
    assert score(tmp_path, "--limit", 29, "--rows-per-part", 8) == 0
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 4
    output = Folder.at(str(tmp_path / "out"))
    rows = pq.read_table(tmp_path / "out" / "scores").slice(20, 4)
    store_part(output, PARTS, 0, rows)  # of a worker that outlived its run
    assert score(tmp_path) == 0
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 1
    assert len(table(tmp_path)) == 30
    assert verify(tmp_path) == 0


def test_a_record_left_open_is_closed(tmp_path):
    good_folder(tmp_path / "in", 5)
    assert score(tmp_path) == 0
    path = tmp_path / "out" / "run.json"
    record = json.loads(path.read_text())
    del record["report"]
    path.write_text(json.dumps({**record, "status": "running"}))
    assert verify(tmp_path) == 1
    assert score(tmp_path) == 0
    assert status(tmp_path) == "finished"
    assert verify(tmp_path) == 0


def stop_when(is_time) -> None:
    """Sends this process a SIGTERM as soon as something is observed."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not is_time() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
