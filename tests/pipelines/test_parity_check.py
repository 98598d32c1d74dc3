"""The parity certificate of a run, and a broken engine that it stops."""

import json
from pathlib import Path

import pytest

from artimuse.cli import main
from artimuse.configs.engine import EngineConfig
from artimuse.configs.score import ScoreConfig
from artimuse.engines import _REFERENCES, ENGINES
from tests.pictures import good_folder

NANO = ("--model", "nano", "--workers", "0")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = good_folder(tmp_path_factory.mktemp("parity") / "in", 40)
    for number in range(0, 40, 8):
        (folder / f"{number:04d}.png").write_bytes(b"not a picture")
    return folder


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments), "--max-failed", "1"])


def run_file(output: Path) -> dict:
    return json.loads((output / "run.json").read_text())


@pytest.fixture
def broken(monkeypatch) -> None:
    config = EngineConfig(name="ShiftsCandidates", model="nano", device="cpu", dtype="float32")
    monkeypatch.setattr(ScoreConfig, "engine_config", config)
    monkeypatch.setitem(ENGINES, "ShiftsCandidates", "tests.broken_engines:ShiftsCandidates")
    monkeypatch.setitem(_REFERENCES, "ShiftsCandidates", "exact")


def test_a_run_says_how_far_it_is_from_the_reference(pictures, tmp_path, capsys):
    assert score(pictures, tmp_path, *NANO, "--json") == 0
    captured = capsys.readouterr()
    certificate = json.loads(captured.out)["parity"]
    assert run_file(tmp_path)["parity"] == certificate
    assert (certificate["engine"], certificate["reference"], certificate["dtype"]) == (
        "transformers",
        "exact",
        "float32",
    )
    assert certificate["num_images"] == 32, "others stand in for those that cannot be read"
    assert 0 <= certificate["mean_difference"] <= certificate["max_difference"] <= 1e-3
    assert certificate["rank_correlation"] > 0.999
    assert certificate["tolerance"] == 0.01
    assert "32 images by engine exact in float32: at most" in captured.err
    assert score(pictures, tmp_path, *NANO, "--json") == 0
    assert json.loads(capsys.readouterr().out)["parity"] is None, "there was nothing to do"


@pytest.mark.usefixtures("broken")
def test_an_engine_whose_candidates_are_shifted_by_one_is_stopped(pictures, tmp_path, capsys):
    assert score(pictures, tmp_path, *NANO) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "error: engine ShiftsCandidates does not score as the reference does: 32 images by engine exact"
    )
    assert "nothing was scored" in error
    assert not (tmp_path / "scores").exists()
    assert run_file(tmp_path)["parity"]["max_difference"] > 0.01


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("option", [("--no-parity-check",), ("--parity-tolerance", 100)])
def test_who_insists_may_go_on(pictures, tmp_path, option):
    assert score(pictures, tmp_path, *NANO, *option) == 0


def test_nothing_that_can_be_read_is_no_certificate(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"not a picture")
    assert score(tmp_path / "in", tmp_path / "out", *NANO) == 0
    assert "parity" not in run_file(tmp_path / "out")


@pytest.mark.long
def test_a_run_in_fp8_says_so_everywhere_and_is_not_continued_in_another_precision(pictures, tmp_path, capsys):
    options = (*NANO, "--limit", 8, "--dtype")
    assert score(pictures, tmp_path, *options, "fp8", "--parity-tolerance", 100) == 0
    assert "fp8 beside 32 images by engine exact in bfloat16: at most" in capsys.readouterr().err
    run = run_file(tmp_path)
    assert (run["parity"]["dtype"], run["parity"]["reference_dtype"]) == ("fp8", "bfloat16")
    assert run["fingerprints"]["score"]["dtype"] == run["config"]["dtype"] == "fp8"
    assert score(pictures, tmp_path, *options, "bfloat16") == 1
    assert "dtype" in capsys.readouterr().err.splitlines()[-1]


def test_fp8_is_let_pass_by_the_comparison_alone(pictures, tmp_path, capsys):
    assert score(pictures, tmp_path, *NANO, "--dtype", "fp8", "--no-parity-check") == 2
    assert (
        "--no-parity-check: only this check lets" in capsys.readouterr().err
    )  # the rest is in the next line of the box
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.png").write_bytes(b"not a picture")
    assert score(tmp_path / "in", tmp_path / "out", *NANO, "--dtype", "fp8") == 1
    assert "none of the images that were looked at can be read" in capsys.readouterr().err
