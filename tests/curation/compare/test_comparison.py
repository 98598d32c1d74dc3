"""What a comparison says to a person, also where the prompts are hostile."""

import json
from pathlib import Path

import pytest

from artimuse.curation.compare.comparison import Difference
from tests.curation.compare.comparing import PROMPT, compare, of_other_files, printed, scores
from tests.curation.score_tables import write_table


@pytest.mark.parametrize(
    ("mean", "low", "high", "verdict"),
    [
        (2.31, 1.12, 3.42, "B is better by 2.3 points (95 % between 1.1 and 3.4)"),
        (-2.31, -3.42, -1.12, "A is better by 2.3 points (95 % between 1.1 and 3.4)"),
        (0.0034, 0.0012, 0.0056, "B is better by 0.0034 points (95 % between 0.0012 and 0.0056)"),
        (5.0, 0.04, 9.96, "B is better by 5.00 points (95 % between 0.04 and 9.96)"),
        (2.0, 2.0, 2.0, "B is better by 2.0 points (95 % between 2.0 and 2.0)"),
        (-0.01, -1.2, 1.3, "(B - A is 0.0 points, 95 % between -1.2 and 1.3)"),
        (0.5, 0.0, 1.0, "within noise: 48 prompts do not show a difference (B - A is 0.50 points"),
    ],
)
def test_the_verdict_is_one_sentence_with_as_many_digits_as_it_needs(mean, low, high, verdict):
    difference = Difference(mean=mean, low=low, high=high, num_independent=9, effect_size=0.1)
    assert verdict in difference.verdict("48 prompts")


HOSTILE = (
    "\x1b]0;title\x07\x1b[31mred\x1b[0m",
    "null\x00byte and \x9b31m",
    "long " * 10_000,
    "\u05e9\u05dc\u05d5\u05dd \u202e reversed \u2066",
    "two\nlines\r\n\tand \u2028 more",
    "[bold]markup[/bold] :smile:",
    "Z" + "\u0301" * 5000,
    "\u753b" * 400,
)


def test_prompts_are_shown_as_text_in_one_line_each(tmp_path: Path):
    assert len(HOSTILE) == 8
    write_table(tmp_path / "a", scores(*[50] * 8, prompt=HOSTILE), passthrough=PROMPT)
    rows = of_other_files(scores(51, 52, 53, 54, 49, 48, 47, 46, prompt=HOSTILE))
    write_table(tmp_path / "b", rows, passthrough=PROMPT)
    report = compare(tmp_path)
    assert report.pairs.num_pairs == 8
    shown = printed(report)
    assert not set(shown) & set("\x00\x07\x1b\x9b\r\t\u2028\u202e\u2066")
    assert "\\x1b]0;title\\x07\\x1b[31mred" in shown
    assert "null\\x00byte and \\x9b31m" in shown
    assert "\\u202e reversed" in shown
    assert "two lines and" in shown
    assert "[bold]markup[/bold] :smile:" in shown
    lines = printed(report, width=100).splitlines()
    assert all(len(line) < 300 for line in lines)
    assert len([line for line in lines if line.startswith(("+", "-"))]) == 8
    assert len(json.dumps(report.as_dict())) < 30_000
