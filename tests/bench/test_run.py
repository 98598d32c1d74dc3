import json

import pytest
import torch

from artimuse.bench import ceilings
from artimuse.cli import main

SMALL = ["--model", "nano", "--device", "cpu", "--images", "1", "--new-tokens", "2", "--rounds", "1"]


def test_the_table_is_shown_and_json_printed(capsys, monkeypatch):
    monkeypatch.setitem(ceilings.MATRIX_SIZE, "cpu", 64)
    assert main(["bench", *SMALL, "--json"]) == 0
    shown = capsys.readouterr()
    assert "official loop" in shown.err
    assert json.loads(shown.out)["comparisons"][1]["work"] == "score + 8 texts"


def test_unknown_networks_are_one_line(capsys):
    assert main(["bench", "--model", "random:huge"]) == 1
    assert "random:internvl3-1b" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_one_line(capsys):
    assert main(["bench", "--model", "nano", "--device", "cuda"]) == 1
    assert "no CUDA device" in capsys.readouterr().err


def test_out_of_memory_is_one_line(capsys, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("artimuse.bench.run.measure", full)
    assert main(["bench", *SMALL]) == 1
    assert "out of memory" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rounds", "--images", "--new-tokens", "--official-images", "--batch-size"])
def test_numbers_start_at_one(option, capsys):
    assert main(["bench", option, "0"]) == 2
    assert option in capsys.readouterr().err
