"""Runs in this process: what they load, what they refuse, and what a stop leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.cli import main
from artimuse.engines import network
from artimuse.pipelines import in_process
from artimuse.pipelines.rows import RowDecoder
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
    """Asked for after the second chunk of 8 images, within a part of 50."""
    good_folder(tmp_path / "in", 200)
    monkeypatch.setattr(in_process, "ROWS_PER_CHUNK", 8)
    decode, num_chunks = RowDecoder.__call__, iter(range(1, 1000))

    def decode_and_stop(self, *arguments):
        for rows in decode(self, *arguments):
            if next(num_chunks) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield rows

    monkeypatch.setattr(RowDecoder, "__call__", decode_and_stop)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 4
    assert row_numbers(tmp_path / "out") == list(range(8))
    assert "interrupted: 8 of 200 images are done; the same command goes on from there" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert row_numbers(tmp_path / "out") == list(range(200))


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
