"""What no selection is made of, and what none is written over."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from artimuse.configs.select import SelectConfig
from artimuse.curation.select.run import run
from artimuse.curation.selection import Selection
from artimuse.errors import BadInput, BadOutput
from artimuse.io.folder import Folder
from artimuse.table.parts import write_rows
from tests.curation.score_tables import write_table
from tests.curation.select.choosing import PROMPT, numbers, select
from tests.table.score_rows import begin_run, score_rows


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        ("scor > 5", r"--where 'scor > 5': Binder Error: Referenced column \"scor\" not found.*"),
        ("score >", "--where 'score >': syntax error"),
        ("score > 2) or (status = 'failed'", "syntax error"),
        ("1=1); COPY (SELECT 1) TO 'x.csv'; SELECT (1=1", "syntax error"),
        ("true LIMIT 1", "expected one condition"),
        ("exists (select 1)", "a condition looks at one row, and has no SELECT in it"),
        ("score_quantile(10) > 1", r"score_quantile\(q\): q is a probability, from 0 to 1"),
        ("prompt = 3", "--where 'prompt = 3': "),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(tmp_path: Path, condition: str, complaint: str):
    write_table(tmp_path / "table", [{"prompt": "a cat"}], passthrough=PROMPT)
    with pytest.raises(BadInput, match=complaint):
        select(tmp_path, where=condition)
    assert not (tmp_path / "selection.parquet").exists()


def test_tables_of_one_name_or_with_types_that_never_meet_are_refused(tmp_path: Path):
    write_table(tmp_path / "a", [{"steps": "many"}], passthrough=pa.schema([("steps", pa.string())]))
    write_table(tmp_path / "b", [{"steps": 20}], passthrough=pa.schema([("steps", pa.int64())]))
    with pytest.raises(BadInput, match="more than one table is called 'a'; NAME=TABLE gives each a name"):
        select(tmp_path, "a", "a")
    with pytest.raises(BadInput, match="/b: its column steps is int64, and string in another table"):
        select(tmp_path, "a", "b")


def test_what_is_no_table_is_refused(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(BadOutput, match=r"photos holds no score table: there is no run\.json"):
        select(tmp_path, "photos")


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    write_table(tmp_path / "table", [{}], with_metadata=True)
    with pytest.raises(BadInput, match=r"--best-of prompt: no such column; perhaps meta_prompt is meant\. The columns"):
        select(tmp_path, best_of="prompt")


def test_only_an_earlier_selection_is_replaced(scored: Path):
    select(scored, top=1)
    select(scored, top=2)
    assert len(numbers(scored)) == 2
    pq.write_table(pa.table({"a": [1]}), scored / "selection.parquet")
    with pytest.raises(BadInput, match=r"selection\.parquet is there and is no selection"):
        select(scored)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"top": 1, "top_percent": 2}, "--top and --top-percent: give one of them"),
        ({"per": "prompt"}, "--per goes with --top or --top-percent"),
        ({"margin": "10"}, "--margin goes with --pairs"),
        ({"near_distance": 5, "dedupe": "exact"}, "--near-distance goes with --dedupe near"),
        ({"keep": 2}, "--keep goes with --best-of"),
        ({"seed": 1}, "--seed goes with --sample"),
        ({"top": 0}, "--top 0: expected 1 or more"),
        ({"top_percent": 101}, "--top-percent 101: expected more than 0 and at most 100"),
        ({"near_distance": 17, "dedupe": "near"}, "--near-distance 17: expected 0 to 16 bits"),
        ({"quota": "prompt"}, "--quota prompt: expected COLUMN=VALUE:N"),
        ({"quota": "prompt=a:1,a:2"}, "with each value once"),
        ({"margin": "2 std", "pairs": "prompt"}, "--margin 2 std: expected points, such as 10, or such as 2std"),
    ],
)
def test_options_that_make_no_sense_are_refused(asked: dict[str, Any], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        SelectConfig(tables=("table",), to="selection.parquet", **asked)


def test_a_selection_is_a_parquet_file(scored: Path):
    with pytest.raises(BadInput, match=r"--to chosen: a selection is a Parquet file; name it chosen\.parquet"):
        run(SelectConfig(tables=(str(scored / "table"),), to="chosen"), Console(file=io.StringIO()))


def test_a_row_that_a_killed_run_has_left_in_two_files_is_not_counted_twice(scored: Path):
    table = Folder.at(str(scored / "table"))
    repeated = score_rows([3, 4])
    write_rows(table, repeated, rows_per_shard=10)
    begin_run(table, num_rows=25, status="interrupted")
    with pytest.raises(BadOutput, match=r"2 rows are there twice or more.*the same `artimuse score` command"):
        select(scored)


@pytest.mark.parametrize("chosen", [min, max])
def test_a_damaged_part_is_told_as_one(scored: Path, chosen: Any):
    part = chosen((scored / "table" / "scores").iterdir())
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(BadOutput, match=r"/table.*: cannot be read \(.*`artimuse verify` names what is damaged"):
        select(scored, where="score > 3")


def test_the_file_of_what_was_dropped_is_no_selection_and_nobody_elses_is_replaced(scored: Path):
    select(scored, top=1)
    with pytest.raises(BadInput, match="these are the rows that were dropped; name the selection beside it"):
        Selection.at(str(scored / "selection.dropped.parquet"))
    config = SelectConfig(tables=(str(scored / "table"),), to=str(scored / "selection.dropped.parquet"))
    with pytest.raises(BadInput, match=r"selection\.dropped\.parquet is there and is no selection"):
        run(config, Console(file=io.StringIO()))
    pq.write_table(pa.table({"a": [1]}), scored / "selection.dropped.parquet")
    with pytest.raises(BadInput, match=r"selection\.dropped\.parquet is there and is no selection"):
        select(scored)


def test_a_selection_among_the_parts_of_a_table_is_refused(scored: Path):
    config = SelectConfig(tables=(str(scored / "table"),), to=str(scored / "table" / "scores" / "x.parquet"))
    with pytest.raises(BadInput, match="whoever reads the table would take it for a part"):
        run(config, Console(file=io.StringIO()))
