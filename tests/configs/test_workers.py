import pytest

from artimuse.configs.presets import paper_text_pretrain
from artimuse.configs.score import ScoreConfig


@pytest.mark.parametrize(
    ("workers", "expected"), [("auto", None), ("0", (0, 0)), ("3", (3, 3)), ("1:8", (1, 8)), ("2:2", (2, 2))]
)
def test_a_number_or_a_range_of_workers_is_understood_by_both_commands(workers, expected):
    for config in (
        ScoreConfig(input="in", output="out", workers=workers),
        paper_text_pretrain("in", "out", workers=workers),
    ):
        assert config.worker_range == expected
        assert config.is_in_process == (workers == "0")


@pytest.mark.parametrize("workers", ["0:2", "3:2", "-1", "0:0", "two", "", "1:", "1.5"])
def test_what_is_no_number_of_workers_is_refused(workers):
    with pytest.raises(ValueError, match=f"--workers {workers}: expected auto, 0, N or MIN:MAX"):
        ScoreConfig(input="in", output="out", workers=workers)
    with pytest.raises(ValueError, match="--workers"):
        paper_text_pretrain("in", "out", workers=workers)
