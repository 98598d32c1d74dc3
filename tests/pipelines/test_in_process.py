"""Runs in this process: what they load, what they refuse, and what a stop leaves."""

import json
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.cli import main
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


def test_one_network_is_held_at_a_time(tmp_path, monkeypatch):
    """Also by a run that scores some images and describes others that are scored already."""
    alive: list[weakref.ref] = []
    open_scorer = in_process.open_scorer

    def opened(*arguments):
        assert [found for found in alive if found()] == []
        scorer = open_scorer(*arguments)
        alive.append(weakref.ref(scorer))
        return scorer

    monkeypatch.setattr(in_process, "open_scorer", opened)
    good_folder(tmp_path / "in", 20)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--limit", 5) == 0
    alive.clear()
    assert score(tmp_path / "in", tmp_path / "out", *FAKE, "--attributes", "overall_gestalt") == 0
    assert len(alive) == 2
    texts = pq.read_table(tmp_path / "out" / "scores", columns=["overall_gestalt"])["overall_gestalt"]
    assert texts.null_count == 0


def test_pillow_has_its_own_limit_again_afterwards(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    good_folder(tmp_path / "in", 2)
    assert score(tmp_path / "in", tmp_path / "out", *FAKE) == 0
    assert before == Image.MAX_IMAGE_PIXELS
