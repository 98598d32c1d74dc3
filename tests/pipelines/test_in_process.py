"""Runs in this process: what they load, what they refuse, and what a stop leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.cli import main
from artimuse.engines import network
from artimuse.errors import BadOutput
from artimuse.pipelines import in_process
from artimuse.pipelines.rows import RowDecoder, RowScorer, RowWriter
from tests.pictures import good_folder

FAKE = ("--engine", "fake", "--workers", "0")


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def row_numbers(output: Path) -> list[int]:
    return sorted(pq.read_table(output / "scores", columns=["row_number"])["row_number"].to_pylist())


def test_neither_ray_nor_torch_is_loaded_unless_the_engine_needs_it(tmp_path):
    """In a process of its own: other tests load both."""
    good_folder(tmp_path / "in", 3)
    arguments = ["score", str(tmp_path / "in"), str(tmp_path / "out"), *FAKE]
    script = f"import sys; from artimuse.cli import main; assert main({arguments}) == 0; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"ray", "torch", "transformers"} & set(done.stdout.split())


@pytest.mark.parametrize("option", [("--device", "cuda"), ("--num-gpus", "1")])
def test_a_gpu_that_this_process_does_not_have_is_refused(tmp_path, capsys, monkeypatch, option):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    good_folder(tmp_path / "in", 1)
    assert score(tmp_path / "in", tmp_path / "out", "--model", "nano", "--workers", "0", *option) == 1
    assert "--workers 0 works in this process, and torch finds no CUDA device here" in capsys.readouterr().err
    assert not (tmp_path / "out" / "scores").exists()


def test_a_stop_keeps_what_is_scored_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    """Asked for while the second chunk of 8 images is scored, within a part of 50."""
    good_folder(tmp_path / "in", 200)
    monkeypatch.setattr(in_process, "ROWS_PER_CHUNK", {"cpu": 8})
    score_rows, num_chunks = RowScorer.__call__, iter(range(1, 1000))

    def score_and_stop(self, rows):
        if next(num_chunks) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return score_rows(self, rows)

    monkeypatch.setattr(RowScorer, "__call__", score_and_stop)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 4
    assert row_numbers(tmp_path / "out") == list(range(16))
    assert "interrupted: 16 of 200 images are done; the same command goes on from there" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert row_numbers(tmp_path / "out") == list(range(200))


def test_rows_are_decoded_ahead_and_parts_written_while_others_are_scored(tmp_path, monkeypatch):
    """Each chunk is scored only when the next one is decoded, and the second part when the first one is written."""
    good_folder(tmp_path / "in", 64)
    monkeypatch.setattr(in_process, "ROWS_PER_CHUNK", {"cpu": 16})
    num_decoded, num_scored, is_written = 0, 0, threading.Event()
    as_table, score_rows, write_rows = RowDecoder._decode, RowScorer.__call__, RowWriter.__call__
    changed = threading.Condition()

    def decode_and_tell(self, *arguments):
        nonlocal num_decoded
        rows = as_table(self, *arguments)
        with changed:
            num_decoded += 1
            changed.notify_all()
        return rows

    def wait_and_score(self, rows):
        nonlocal num_scored
        num_scored += 1
        with changed:
            assert changed.wait_for(lambda: num_decoded == 4 or num_decoded > num_scored, timeout=30)
        assert num_scored != 3 or is_written.wait(timeout=30)
        return score_rows(self, rows)

    def write_and_tell(self, rows):
        receipts = write_rows(self, rows)
        is_written.set()
        return receipts

    monkeypatch.setattr(RowDecoder, "_decode", decode_and_tell)
    monkeypatch.setattr(RowScorer, "__call__", wait_and_score)
    monkeypatch.setattr(RowWriter, "__call__", write_and_tell)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--rows-per-part", 32) == 0
    assert row_numbers(tmp_path / "out") == list(range(64))


def test_a_part_that_cannot_be_written_ends_the_run(tmp_path, capsys, monkeypatch):
    def fail(self, rows):
        raise BadOutput("the disk is full")

    monkeypatch.setattr(RowWriter, "__call__", fail)
    assert score(good_folder(tmp_path / "in", 4), tmp_path / "out", *FAKE) == 1
    assert "the disk is full" in capsys.readouterr().err


def test_a_run_loads_one_network(tmp_path, monkeypatch):
    """Although it compares with the reference, scores some images, and describes others that are scored already."""
    num_loaded = 0
    load_network = network.load_network

    def counted(*arguments, **options):
        nonlocal num_loaded
        num_loaded += 1
        return load_network(*arguments, **options)

    monkeypatch.setattr(network, "load_network", counted)
    good_folder(tmp_path / "in", 4)
    nano = ("--model", "nano", "--workers", "0")
    assert score(tmp_path / "in", tmp_path / "out", *nano, "--limit", 2) == 0
    assert num_loaded == 1
    texts = ("--attributes", "overall_gestalt", "--max-new-tokens", 2)
    assert score(tmp_path / "in", tmp_path / "out", *nano, *texts) == 0
    assert num_loaded == 2
    described = pq.read_table(tmp_path / "out" / "scores", columns=["overall_gestalt"])["overall_gestalt"]
    assert described.null_count == 0


def test_pillow_has_its_own_limit_again_afterwards(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    good_folder(tmp_path / "in", 2)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert before == Image.MAX_IMAGE_PIXELS
