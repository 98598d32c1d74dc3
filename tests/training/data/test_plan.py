import pyarrow.parquet as pq
import pytest

from artimuse.configs.presets import paper_score_finetune, paper_text_pretrain
from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.training.data.examples import TRAIN_EXAMPLES, Examples
from artimuse.training.data.plan import ExampleCounts, write_plan
from tests.training.tables import make_table

SPEC = read_spec(find_checkpoint("nano"))


@pytest.fixture
def table(tmp_path):
    """20 rows to train on: 12 of `grey` (expert), 8 of `dark` (score); 6 to validate on."""
    path = make_table(tmp_path / "table")
    rows = pq.read_table(path).to_pylist()
    for row in rows[12:20]:
        row |= {"dataset": "dark", "kind": "score"}
    pq.write_table(pq.read_table(path).from_pylist(rows, schema=pq.read_schema(path)), path)
    return str(path)


def plan(config, output):
    return write_plan(config, SPEC, Folder.at(str(output)))


def test_all_rows_are_taken_by_default(table, tmp_path):
    counts = plan(paper_score_finetune(table, "out"), tmp_path)
    assert counts == ExampleCounts(
        num_examples=20, num_validation_examples=6, num_images=20, num_images_by_dataset={"grey": 12, "dark": 8}
    )


@pytest.mark.parametrize(
    ("filters", "count"), [({"kinds": ("score",)}, 8), ({"datasets": ("grey",)}, 12), ({"split": "validation"}, 6)]
)
def test_rows_are_chosen_by_kind_data_set_and_split(table, tmp_path, filters, count):
    assert plan(paper_score_finetune(table, "out", **filters), tmp_path).num_examples == count
    assert len(Examples(tmp_path / TRAIN_EXAMPLES)) == count


def test_each_text_is_an_example(table, tmp_path):
    assert plan(paper_text_pretrain(table, "out"), tmp_path).num_examples == 40


def test_without_a_validation_split_there_is_none(table, tmp_path, caplog):
    counts = plan(paper_score_finetune(table, "out", validation_split="dev"), tmp_path)
    assert counts.num_validation_examples == 0
    assert "no row of split 'dev'" in caplog.text


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        ({"split": "test"}, "no row of split 'test'"),
        ({"datasets": ("AVA",)}, r"no data set AVA; rows found: grey \(expert\): 12, dark \(score\): 8"),
        ({"kinds": ("partial_text",)}, r"nothing to learn scores from with --kinds partial_text"),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused_with_what_is_there(table, tmp_path, filters, complaint):
    with pytest.raises(BadInput, match=complaint):
        plan(paper_score_finetune(table, "out", **filters), tmp_path)


def test_images_that_are_not_there_are_told_before_training(table, tmp_path, caplog):
    for number in (3, 21):
        (tmp_path / "table" / f"{number}.png").unlink()
    plan(paper_score_finetune(table, "out"), tmp_path)
    [told] = [record.getMessage() for record in caplog.records if "not there" in record.getMessage()]
    where = tmp_path / "table"
    assert f"not there: 2: picture 3 ({where}/3.png), picture 21 ({where}/21.png); they are left out" in told
    with pytest.raises(BadInput, match=r"not there: 2: picture 3 .*; put them there, or leave them out"):
        plan(paper_score_finetune(table, "out", bad_images="stop"), tmp_path)


def test_a_table_none_of_whose_images_is_there_is_refused(table, tmp_path):
    for path in (tmp_path / "table").glob("*.png"):
        path.unlink()
    with pytest.raises(BadInput, match=r"not there: 26: picture 0 .* and 21 more; that is all of them: a relative uri"):
        plan(paper_score_finetune(table, "out"), tmp_path)


@pytest.mark.parametrize(("top", "factor"), [(0.9, 100), (9.8, 10), (12.0, None)])
def test_scores_that_look_like_those_of_another_scale_are_said(table, tmp_path, caplog, top, factor):
    rows = pq.read_table(table).to_pylist()
    for number, row in enumerate(rows):
        row["score"] = top * number / len(rows) if number else top
    pq.write_table(pq.read_table(table).from_pylist(rows, schema=pq.read_schema(table)), table)
    plan(paper_score_finetune(table, "out"), tmp_path)
    found = [record.getMessage() for record in caplog.records if "the highest score is" in record.getMessage()]
    expected = f"the highest score is {top:g} of 100: multiply scores by {factor} if they are on a scale from 0 to"
    assert [message.startswith(expected) for message in found] == ([True] if factor else [])
