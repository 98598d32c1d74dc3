"""What the score table itself says: counts and quantiles of its parts."""

from pathlib import Path

import numpy as np
import pytest

from artimuse.io.folder import Folder
from artimuse.table.facts import QUANTILES, read_table_facts
from artimuse.table.parts import PARTS
from tests.table.score_rows import SmallTable, score_rows


@pytest.fixture
def table(tmp_path: Path) -> SmallTable:
    """In shards of 1000 rows."""
    return SmallTable(Folder.at(str(tmp_path)), rows_per_shard=1000)


def write_scores(table: SmallTable, scores: np.ndarray, *, rows_per_part: int) -> None:
    rows = score_rows(range(len(scores)), score=0.0)
    rows = rows.set_column(rows.column_names.index("score"), rows.schema.field("score"), [scores.astype(np.float32)])
    for start in range(0, len(scores), rows_per_part):
        table.write(rows.slice(start, rows_per_part))


def quantile_name(q: float) -> str:
    return {0.0: "min", 0.5: "median", 1.0: "max"}.get(q, f"{q:.0%}")


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5, 10, 999, 2500])
@pytest.mark.parametrize("shape", ["even", "narrow", "ends"])
def test_quantiles_agree_with_numpy_to_a_hundredth(table, num_rows, shape):
    random = np.random.default_rng(num_rows)
    scores = {
        "even": random.uniform(0, 100, num_rows),
        "narrow": np.clip(random.normal(50, 0.05, num_rows), 0, 100),
        "ends": random.choice([0.0, 100.0], num_rows),
    }[shape]
    write_scores(table, scores, rows_per_part=250)
    facts = read_table_facts(table.output)
    assert facts.quantiles.keys() == {quantile_name(q) for q in QUANTILES}
    for q in QUANTILES:
        assert facts.quantiles[quantile_name(q)] == pytest.approx(np.quantile(scores, q), abs=0.01)


def test_whole_scores_are_reported_as_they_are(table):
    write_scores(table, np.array([0, 25, 50, 75, 100]), rows_per_part=5)
    facts = read_table_facts(table.output)
    assert [facts.quantiles[name] for name in ("min", "25%", "median", "75%", "max")] == [0, 25, 50, 75, 100]


def test_failed_rows_are_counted_by_code_and_have_no_quantiles(table):
    table.write(score_rows([0, 1, 2], score=None))
    facts = read_table_facts(table.output)
    assert (facts.num_rows, facts.num_failed, facts.errors, facts.quantiles) == (3, 3, {"not_found": 3}, {})


def test_scored_and_failed_rows_of_several_shards_are_one_table(table):
    table.write(score_rows(range(0, 900), score=20))
    table.write(score_rows(range(900, 1000), score=None))
    table.write(score_rows(range(1000, 1500), score=40))
    facts = read_table_facts(table.output)
    assert (facts.num_rows, facts.errors) == (1500, {"not_found": 100})
    assert (facts.quantiles["min"], facts.quantiles["median"], facts.quantiles["max"]) == (20, 20, 40)


def test_rows_that_come_twice_are_counted_once_and_their_shards_named(table):
    table.write(score_rows([0, 1, 2], score=10))
    table.write(score_rows([1, 2, 3], score=20))
    table.write(score_rows([1000]))
    facts = read_table_facts(table.output)
    assert (facts.num_rows, facts.shards_with_repeats) == (5, (0,))


def test_a_table_without_rows_has_no_quantiles(table):
    facts = read_table_facts(table.output)
    assert (facts.num_rows, facts.num_failed, facts.quantiles) == (0, 0, {})


def test_a_part_that_cannot_be_read_does_not_count_and_is_removed(table, caplog):
    torn = table.write(score_rows([0, 1, 2]))
    table.write(score_rows([3, 4]))
    table.output.write(f"{PARTS}/{torn}", b"PAR1 torn")
    assert read_table_facts(table.output).num_rows == 2
    assert torn not in table.output.names(PARTS)
    assert f"its rows are scored again part={torn}" in caplog.text


def test_files_beside_the_parts_are_not_read(table):
    table.write(score_rows([0, 1, 2]))
    table.output.write(f"{PARTS}/.DS_Store", b"mine")
    table.output.write(f"{PARTS}/_SUCCESS", b"")
    assert read_table_facts(table.output).num_rows == 3


def test_described_rows_and_cut_texts_of_the_table_are_counted(table):
    table.write(score_rows([0, 1]))
    table.write(score_rows([2, 5], text="fine"))
    facts = read_table_facts(table.output)
    assert (facts.num_described, facts.num_texts_truncated) == (2, 0)
