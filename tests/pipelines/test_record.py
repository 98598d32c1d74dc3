"""run.json over several runs on one OUTPUT: what they were started with, and what may change between them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artimuse.cli import main
from artimuse.configs.score import ScoreConfig
from artimuse.io.folder import Folder
from artimuse.pipelines import record as record_module
from artimuse.pipelines.record import ModelFacts, new_record
from artimuse.table.plan import PlanFacts
from artimuse.table.record import RUN_FILE
from tests.pictures import good_folder


def score(input: Path, output: Path, *options: object) -> int:
    return main(["score", str(input), str(output), "--engine", "fake", "--workers", "0", *map(str, options)])


def run_file(output: Path) -> dict[str, Any]:
    return json.loads((output / "run.json").read_text())


def test_every_start_is_kept(tmp_path):
    photos, output = good_folder(tmp_path / "in", 5), tmp_path / "out"
    for limit in (1, 2, 2):
        assert score(photos, output, "--limit", limit) == 0
    found = run_file(output)
    assert [start["config"]["limit"] for start in found["starts"]] == [1, 2]
    assert all(start["versions"] == found["versions"] for start in found["starts"])
    assert found["starts"][0]["started_at"] <= found["started_at"]


def test_a_run_that_goes_on_keeps_the_certificate_of_the_one_that_was_killed(tmp_path):
    output = Folder.at(str(tmp_path))
    config = ScoreConfig(input="in", output=str(tmp_path), engine="fake")
    model = ModelFacts(name="fake", digest=None, num_bytes=0, note=None)
    plan = PlanFacts(3, 1, 10, {})
    RUN_FILE.write(output, replace(new_record(config, output, model, plan), parity={"max_difference": 1e-6}))
    assert new_record(config, output, model, plan).parity == {"max_difference": 1e-6}
    assert new_record(replace(config, strategy="levels_5"), output, model, plan).parity is None, "of another score"


def test_texts_that_never_came_bind_nothing(tmp_path):
    photos, output = good_folder(tmp_path / "in", 3), tmp_path / "out"
    assert score(photos, output, "--attributes", "all") == 0
    shutil.rmtree(output / "scores")
    assert score(photos, output) == 0
    assert "texts" not in run_file(output)["fingerprints"]
    assert score(photos, output, "--attributes", "overall_gestalt") == 0


def test_another_decoder_is_refused_until_it_is_accepted(tmp_path, monkeypatch, capsys):
    photos, output = good_folder(tmp_path / "in", 5), tmp_path / "out"
    assert score(photos, output, "--limit", 2) == 0
    versions = record_module.decoder_versions()
    assert {"pillow", "libjpeg_turbo", "zlib", "webp"} <= set(versions)
    assert "none" not in versions.values()
    monkeypatch.setattr(record_module, "decoder_versions", lambda: versions | {"libjpeg_turbo": "9.9"})
    assert score(photos, output) == 1
    message = capsys.readouterr().err
    assert f"decoder libjpeg_turbo: OUTPUT has {versions['libjpeg_turbo']!r}, this run has '9.9'" in message
    assert "--accept-decoder allows it" in message
    assert score(photos, output, "--accept-decoder") == 0
    assert run_file(output)["status"] == "finished"


def test_a_run_that_scored_nothing_binds_nothing(tmp_path):
    photos, others, output = good_folder(tmp_path / "in", 5), good_folder(tmp_path / "others", 3), tmp_path / "out"
    assert score(photos, output) == 0
    assert score(others, output) == 1, "rows of another INPUT are there"
    shutil.rmtree(output / "scores")
    assert score(others, output, "--strategy", "levels_5") == 0
    assert run_file(output)["plan"]["num_rows"] == 3
    assert main(["verify", str(output)]) == 0


@pytest.mark.parametrize("content", ["url\na.jpg\n", "uri\n", "uri\nhttp://example.org/a.jpg\n"])
def test_a_refused_input_leaves_no_directory_behind(tmp_path, content):
    (tmp_path / "list.csv").write_text(content)
    assert score(tmp_path / "list.csv", tmp_path / "new" / "out") == 1
    assert not (tmp_path / "new" / "out").exists()
    (tmp_path / "mine").mkdir()
    assert score(tmp_path / "list.csv", tmp_path / "mine") == 1
    assert (tmp_path / "mine").exists(), "it was there before"


def test_the_same_input_may_be_written_otherwise(tmp_path, monkeypatch):
    photos, output = good_folder(tmp_path / "in", 5), tmp_path / "out"
    assert score(photos, output, "--limit", 2) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert score(Path("../in"), Path("../out")) == 0
    assert main(["score", f"{photos}/", str(output), "--engine", "fake", "--workers", "0"]) == 0
