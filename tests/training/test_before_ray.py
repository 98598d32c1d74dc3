"""What is wrong with a training run is said before Ray starts, which these tests would not survive."""

from pathlib import Path

import pytest

from artimuse.cli import main
from artimuse.training import on_ray


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(**_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(on_ray, "connect", connect)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('{"image_id": "a", "uri": "a.png", "score": 50}\n', "t.jsonl"),
        (
            '{"image_id": "a", "uri": "a.png", "dataset": "x", "split": "test", "kind": "score", "score": 50}\n',
            "t.jsonl",
        ),
        ("no JSON\n", "t.jsonl, line 1: not JSON"),
    ],
)
def test_a_table_that_cannot_be_learnt_from(tmp_path: Path, capsys, table: str, complaint: str):
    (tmp_path / "t.jsonl").write_text(table)
    options = ["--preset", "paper_score_finetune", "--base", "nano"]
    assert main(["train", str(tmp_path / "t.jsonl"), str(tmp_path / "out"), *options]) == 1
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_a_base_that_is_not_there(tmp_path: Path, capsys):
    (tmp_path / "t.jsonl").write_text("{}\n")
    options = ["--preset", "paper_score_finetune", "--base", "./no-such-base"]
    assert main(["train", str(tmp_path / "t.jsonl"), str(tmp_path / "out"), *options]) == 1
    assert "no-such-base" in capsys.readouterr().err
