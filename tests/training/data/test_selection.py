"""Several annotation tables, and how often their examples come."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artimuse.configs.presets import paper_score_finetune
from artimuse.errors import BadInput
from artimuse.training.data.selection import Selection
from tests.training.tables import make_table


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    """20 rows of `grey` and 6 to validate on; and 40 of `dark`, without any to validate on."""
    grey = make_table(tmp_path / "grey")
    dark = make_table(tmp_path / "dark", num_train=40, num_validation=0)
    rows = [
        {**row, "dataset": "dark", "image_id": f"dark {row['image_id']}"} for row in pq.read_table(dark).to_pylist()
    ]
    pq.write_table(pq.read_table(dark).from_pylist(rows, schema=pq.read_schema(dark)), dark)
    return str(grey), str(dark)


def selection(tables: tuple[str, str], **options) -> Selection:
    return Selection(paper_score_finetune(tables[0], "out", more_annotations=tables[1:], **options))


def epoch(chosen: Selection) -> Counter:
    return Counter(annotation.image_id for annotation in chosen.to_train_on())


def copies(counts: Counter, dataset: str) -> list[int]:
    return [count for name, count in counts.items() if name.startswith("dark") == (dataset == "dark")]


def test_tables_are_read_one_after_the_other(tables):
    chosen = selection(tables)
    assert list(chosen.to_train_on()) == [
        *Selection(paper_score_finetune(tables[0], "out")).to_train_on(),
        *Selection(paper_score_finetune(tables[1], "out")).to_train_on(),
    ]
    assert (chosen.num_images, chosen.by_dataset) == (60, {"grey": 20, "dark": 40})
    assert len(list(chosen.to_validate_on())) == 6


def test_a_weight_says_how_often_examples_come(tables):
    chosen = selection(tables, weights=("grey=3", "dark=0.5"))
    counts = epoch(chosen)
    assert copies(counts, "grey") == [3] * 20
    assert set(copies(counts, "dark")) == {1}
    assert 12 <= len(copies(counts, "dark")) <= 28
    assert chosen.by_dataset == {"grey": 20, "dark": len(copies(counts, "dark"))}
    assert len(list(chosen.to_validate_on())) == 6


def test_a_weight_between_two_numbers_has_some_examples_come_once_more(tables):
    counts = epoch(selection(tables, weights=("dark=1.5",)))
    assert set(copies(counts, "grey")) == {1}
    assert len(copies(counts, "dark")) == 40
    assert 12 <= copies(counts, "dark").count(2) <= 28


def test_which_examples_come_is_fixed_by_the_seed(tables):
    half, again, another = (epoch(selection(tables, weights=("dark=0.5",), seed=seed)) for seed in (1, 1, 2))
    assert half == again
    assert half != another


def test_copies_are_not_neighbours(tables):
    ids = [annotation.image_id for annotation in selection(tables, weights=("grey=2",)).to_train_on()]
    assert all(first != second for first, second in pairwise(ids))


def test_a_weight_of_a_data_set_that_is_not_there_is_refused(tables):
    chosen = selection(tables, weights=("AVA=2",))
    num_examples = len(list(chosen.to_train_on()))
    with pytest.raises(BadInput, match=r"no data set AVA; rows found: grey \(expert\): 20, dark \(expert\): 40"):
        chosen.refuse_nothing(num_examples)


def test_a_table_that_nothing_is_used_of_is_told(tables, caplog):
    chosen = selection(tables, split="validation", validation_split="validation")
    assert len(epoch(chosen)) == 6
    chosen.tell_missing()
    assert f"{tables[1]}: no row of split 'validation' or 'validation'; nothing of it is used" in caplog.text


def test_a_split_that_no_table_has_is_refused_naming_all(tables):
    with pytest.raises(BadInput, match=r"grey.*no row of split 'test'.*; .*dark.*no row of split 'test'"):
        epoch(selection(tables, split="test"))
