"""Whole runs on a real Ray cluster, beside the same runs in this process."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artimuse.cli import main
from tests.pictures import good_folder

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180), pytest.mark.usefixtures("ray_cluster")]

NUM_GOOD = 20
TEXTS = ("--attributes", "theme_and_communication,composition_and_design", "--max-new-tokens", "12")


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def table(output: Path) -> list[dict]:
    return pq.read_table(output / "scores").sort_by("row_number").to_pylist()


def test_scores_and_texts_are_those_of_a_run_in_this_process(tmp_path):
    folder = good_folder(tmp_path / "in", NUM_GOOD)
    (folder / "zzz.jpg").write_bytes(b"not a picture")
    for output, workers in (("ray", 1), ("here", 0)):
        assert score(folder, tmp_path / output, "--model", "nano", *TEXTS, "--workers", workers) == 3
    assert table(tmp_path / "ray") == table(tmp_path / "here")
    ray, here = (json.loads((tmp_path / output / "run.json").read_text()) for output in ("ray", "here"))
    assert ray["fingerprints"] == here["fingerprints"]
    assert ray["parity"] == here["parity"]
    assert ray["parity"]["num_images"] == NUM_GOOD
    assert (ray["report"]["num_described"], ray["report"]["num_failed"]) == (NUM_GOOD, 1)
    assert sum(ray["report"]["rows_by_worker_node"].values()) == NUM_GOOD + 1


def test_a_run_that_began_in_this_process_goes_on_with_workers(tmp_path):
    folder = good_folder(tmp_path / "in", 40)
    fake = ("--engine", "fake")
    assert score(folder, tmp_path / "out", *fake, "--workers", 0, "--limit", 20) == 0
    before = table(tmp_path / "out")
    assert score(folder, tmp_path / "out", *fake, "--workers", 2) == 0
    assert score(folder, tmp_path / "whole", *fake, "--workers", 0) == 0
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    assert table(tmp_path / "out")[:20] == before


@pytest.mark.long
def test_a_broken_checkpoint_is_one_clear_line_from_the_workers(tmp_path, capsys, copy_of_nano):
    good_folder(tmp_path / "in", 2)
    model = copy_of_nano(without="model.language_model.norm.weight")
    options = ("--model", model, "--workers", "1", "--no-parity-check")
    assert score(tmp_path / "in", tmp_path / "out", *options) == 1
    shown = capsys.readouterr().err
    assert "model.language_model.norm.weight" in shown
    assert "Traceback" not in shown
