"""Pairs for trainers that learn from preferences."""

import io
import itertools
import math
import random
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from artimuse.configs.select import SelectConfig
from artimuse.curation.select import pairs as pairs_module
from artimuse.curation.select.run import SelectReport, run
from artimuse.curation.selection import Selection
from tests.curation.score_tables import write_table

PROMPT = pa.schema([("prompt", pa.string())])


def pair_up(directory: Path, rows: list[dict[str, Any]], **asked: Any) -> tuple[list[dict[str, Any]], SelectReport]:
    table = Path(mkdtemp(dir=directory))
    write_table(table, rows, passthrough=PROMPT)
    to = str(directory / "pairs.parquet")
    config = SelectConfig(tables=(str(table),), to=to, pairs="prompt", **asked)
    report = run(config, Console(file=io.StringIO()))
    return [row for batch in Selection.at(to).batches() for row in batch.to_pylist()], report


def images(prompt: str | None, *scores: float, std: float = 10.0) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "score": score, "score_std": std} for score in scores]


def test_a_pair_says_who_won_who_lost_and_by_how_much(tmp_path: Path):
    [pair], report = pair_up(tmp_path, images("a cat", 40, 70, 55))
    assert (pair["pair_number"], pair["prompt"], pair["margin"]) == (0, "a cat", 30)
    assert pair["margin_std"] == pytest.approx(30 / math.sqrt(200))
    assert (pair["winner_image_id"], pair["winner_score"], pair["winner_uri"]) == ("1.jpg", 70, "/photos/1.jpg")
    assert (pair["loser_image_id"], pair["loser_score"], pair["loser_row_number"]) == ("0.jpg", 40, 0)
    assert len(pair["winner_sha256"]) == 64
    assert report.facts.kind == "pairs"
    assert (report.facts.num_pairs, report.facts.num_ties, report.facts.num_more_pairs) == (1, 0, 2)


def test_images_in_no_pair_are_dropped_for_that_reason(tmp_path: Path):
    _, report = pair_up(tmp_path, [*images("a", 40, 70, 55), *images("b", 5), *images("", 1, 2)])
    assert (report.facts.num_kept, report.facts.dropped) == (2, {"in_no_pair": 4})
    dropped = pq.read_table(tmp_path / "pairs.dropped.parquet").to_pylist()
    assert [(row["row_number"], row["reason"]) for row in dropped] == [(n, "in_no_pair") for n in (2, 3, 4, 5)]


def test_pairs_closer_than_the_margin_are_ties_and_so_are_equal_scores(tmp_path: Path):
    pairs, report = pair_up(tmp_path, images("a", 50, 58, 60, 60), margin="9", pairs_per_prompt=9)
    assert [(pair["winner_score"], pair["loser_score"]) for pair in pairs] == [(60, 50), (60, 50)]
    assert report.facts.num_ties == 4
    pairs, report = pair_up(tmp_path, images("a", 60, 60))
    assert (pairs, report.facts.num_ties) == ([], 1)


def test_the_margin_may_be_in_standard_deviations_of_the_difference(tmp_path: Path):
    sure, unsure = images("sure", 50, 60, std=3), images("unsure", 20, 40, std=15)
    pairs, report = pair_up(tmp_path, [*sure, *unsure], margin="2std")
    assert [pair["prompt"] for pair in pairs] == ["sure"]
    assert report.facts.num_ties == 1
    pairs, _ = pair_up(tmp_path, images("certain", 50, 51, std=0), margin="2std")
    assert [pair["margin_std"] for pair in pairs] == [math.inf]


def test_each_prompt_has_its_own_pairs_and_images_without_one_have_none(tmp_path: Path):
    rows = [*images("a", 10, 20), *images(None, 0, 100), *images("b", 30, 90), *images("alone", 5)]
    pairs, _ = pair_up(tmp_path, rows)
    assert [(pair["prompt"], pair["margin"]) for pair in pairs] == [("b", 60), ("a", 10)]
    assert [pair["pair_number"] for pair in pairs] == [0, 1]


def test_filters_come_before_pairs(tmp_path: Path):
    pairs, report = pair_up(tmp_path, images("a", 10, 50, 90), where="score > 20")
    assert [(pair["winner_score"], pair["loser_score"]) for pair in pairs] == [(90, 50)]
    assert report.facts.dropped == {"where": 1}


def test_pairs_equal_those_of_a_plain_loop(tmp_path: Path):
    chance = random.Random(0)
    rows = [row for prompt in "abcdef" for row in images(prompt, *(chance.randrange(0, 101) for _ in range(7)))]
    found, report = pair_up(tmp_path, rows, margin="12", pairs_per_prompt=5)
    expected, num_ties = [], 0
    for prompt in "abcdef":
        numbered = [(row["score"], number) for number, row in enumerate(rows) if row["prompt"] == prompt]
        margins = [(abs(one[0] - other[0]), one, other) for one, other in itertools.combinations(numbered, 2)]
        num_ties += sum(margin < 12 for margin, *_ in margins)
        expected += sorted((margin for margin, *_ in margins if margin >= 12), reverse=True)[:5]
    assert sorted(pair["margin"] for pair in found) == sorted(expected)
    assert report.facts.num_ties == num_ties
    for pair in found:
        assert rows[pair["winner_row_number"]]["score"] - rows[pair["loser_row_number"]]["score"] == pair["margin"]


def test_of_a_prompt_with_many_images_those_at_either_end_are_paired(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pairs_module, "MOST_CANDIDATES", 2)
    pairs, report = pair_up(tmp_path, images("a", *range(10, 30)), pairs_per_prompt=100)
    assert {pair["winner_score"] for pair in pairs} | {pair["loser_score"] for pair in pairs} == {10, 11, 28, 29}
    assert (report.facts.num_pairs, report.facts.num_ties) == (6, 0)
