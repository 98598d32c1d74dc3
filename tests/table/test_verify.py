"""`artimuse verify`: every kind of damage is named, and nothing is changed."""

import io
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from artimuse.configs.verify import VerifyConfig
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.table.parts import PARTS, STAGED, store_part
from artimuse.table.plan import shard_name
from artimuse.table.record import RUN_FILE
from artimuse.table.verify import VerifyReport, run
from tests.table.score_rows import begin_run, end_run, filesystem_of, score_rows, write_manifest

# 25 images in shards of 10; the rows 0..5, 6..9, 10..19 and 20..24 are parts, and those of the second one failed.
NUM_ROWS = 25


@pytest.fixture
def whole(output: Folder) -> Folder:
    """A finished run."""
    write_manifest(output, num_rows=NUM_ROWS)
    for shard, rows, code in ((0, range(6), None), (0, range(6, 10), "corrupt"), (1, range(10, 20), None)):
        store_part(output, PARTS, shard, score_rows(rows, code=code))
    store_part(output, PARTS, 2, score_rows(range(20, 25)))
    end_run(output, num_rows=NUM_ROWS, errors={"corrupt": 4})
    return output


def verify(output: Folder) -> VerifyReport:
    return run(VerifyConfig(output=output.url()), Console(file=io.StringIO()))


def shown(report: VerifyReport) -> str:
    text = io.StringIO()
    report.print(Console(file=text, width=80))
    return text.getvalue()


def files(output: Folder) -> dict[str, bytes]:
    return {path: filesystem_of(output).cat_file(path) for path in filesystem_of(output).find(output.root)}


def part_with(output: Folder, row: int) -> str:
    """The path of a part, by its first row."""
    [name] = [name for name in output.names(PARTS) if int(name.split("-")[1]) == row]
    return f"{PARTS}/{name}"


def test_a_whole_table_is_said_to_be_whole(whole: Folder):
    report = verify(whole)
    assert (report.problems, report.unfinished, report.exit_status) == ((), None, 0)
    assert (report.num_images, report.num_rows, report.num_failed, report.num_parts) == (25, 25, 4, 4)
    assert "whole: every image has exactly one readable row; 25 images, 25 rows (4 failed), 4 parts" in shown(report)


def test_a_place_without_a_run_is_bad_output(output: Folder):
    with pytest.raises(BadOutput, match="holds no run"):
        verify(output)


def missing_part(output: Folder) -> str:
    output.remove(part_with(output, 6))
    return "shard 000000: images with no row: 4, the first is '6.jpg' (row 6)"


def missing_shard(output: Folder) -> str:
    output.remove(part_with(output, 20))
    return "shard 000002: images with no row: 5, the first is '20.jpg' (row 20)"


def doubled_row(output: Folder) -> str:
    store_part(output, PARTS, 1, score_rows([12, 13]))
    return "shard 000001: images with more than one row: 2, the first is '12.jpg' (row 12)"


def torn_part(output: Folder) -> str:
    path = part_with(output, 10)
    output.write(path, output.read(path)[:500])
    return f"{path}: cannot be read ("


def empty_part(output: Folder) -> str:
    path = part_with(output, 10)
    output.write(path, b"")
    return f"{path}: cannot be read ("


def torn_column(output: Folder) -> str:
    """Damage that the ledger does not see, for it reads the row numbers alone."""
    path = part_with(output, 10)
    with output.open(path) as file:
        columns = pq.ParquetFile(file).metadata.row_group(0)
        [scores] = [c for c in map(columns.column, range(columns.num_columns)) if c.path_in_schema == "score"]
    start, data = scores.dictionary_page_offset or scores.data_page_offset, bytearray(output.read(path))
    data[start : start + scores.total_compressed_size] = bytes(scores.total_compressed_size)
    output.write(path, bytes(data))
    return f"{path}: cannot be read ("


def part_of_another_name(output: Folder) -> str:
    path = part_with(output, 10)
    output.write(path, output.read(part_with(output, 20)))
    return f"{path}: its rows are not those in its name"


def part_of_another_table(output: Folder) -> str:
    rows = score_rows(range(10, 20))
    ids = pa.array([f"their-{number}.jpg" for number in range(10, 20)])
    store_part(output, PARTS, 1, rows.set_column(1, rows.schema.field("image_id"), ids))
    return f"{part_with(output, 10)}: its image_ids are not those of the plan"


def part_beyond_the_shard(output: Folder) -> str:
    name = store_part(output, PARTS, 2, score_rows([25, 26]))
    return f"{PARTS}/{name}: its rows are not of this shard"


def part_beyond_the_plan(output: Folder) -> str:
    name = store_part(output, PARTS, 3, score_rows([30]))
    return f"{PARTS}/{name}: the plan has no such shard"


def parquet_of_someone_else(output: Folder) -> str:
    output.write(f"{PARTS}/extra.parquet", output.read(part_with(output, 10)))
    return f"{PARTS}/extra.parquet: no run has written this"


def no_score_table(output: Folder) -> str:
    path = part_with(output, 10)
    buffer = pa.BufferOutputStream()
    pq.write_table(score_rows(range(10, 20)).select(["row_number", "image_id"]), buffer)
    output.write(path, buffer.getvalue().to_pybytes())
    return f"{path}: not a part of a score table"


def failed_row_with_a_score(output: Folder) -> str:
    rows = score_rows(range(10, 20))
    codes = pa.array(["corrupt"] + [None] * 9)
    position = rows.column_names.index("error_code")
    store_part(output, PARTS, 1, rows.set_column(position, rows.schema.field("error_code"), codes))
    return f"{part_with(output, 10)}: a failed row with a score"


def score_above_the_scale(output: Folder) -> str:
    store_part(output, PARTS, 1, score_rows(range(10, 20), score=100.5))
    return f"{part_with(output, 10)}: a score that is not from 0 to 100"


def score_that_is_no_number(output: Folder) -> str:
    store_part(output, PARTS, 1, score_rows(range(10, 20), score=float("inf")))
    return f"{part_with(output, 10)}: a score that is not from 0 to 100"


def staged_rows(output: Folder) -> str:
    store_part(output, STAGED, 0, score_rows([6], attempt=2))
    return "staged/: rows tried again that are not in the table yet"


def other_counts(output: Folder) -> str:
    record = RUN_FILE.read(output)
    RUN_FILE.write(output, replace(record, report={**record.report, "errors": {"corrupt": 3}}))
    return "run.json: errors is {'corrupt': 3}, the files have {'corrupt': 4}"


def other_number_of_images(output: Folder) -> str:
    record = RUN_FILE.read(output)
    RUN_FILE.write(output, replace(record, report={**record.report, "num_images": 26}))
    return "run.json: num_images is 26, the files have 25"


def lost_plan(output: Folder) -> str:
    output.remove(shard_name(1))
    return f"{shard_name(1)}: cannot be read ("


def plan_of_other_numbers(output: Folder) -> str:
    output.write(shard_name(1), output.read(shard_name(0)))
    return f"{shard_name(1)}: its images are not numbered from 10 on"


@pytest.mark.parametrize(
    "damage",
    [
        missing_part,
        missing_shard,
        doubled_row,
        torn_part,
        empty_part,
        torn_column,
        part_of_another_name,
        part_of_another_table,
        part_beyond_the_shard,
        part_beyond_the_plan,
        parquet_of_someone_else,
        no_score_table,
        failed_row_with_a_score,
        score_above_the_scale,
        score_that_is_no_number,
        staged_rows,
        other_counts,
        other_number_of_images,
        lost_plan,
        plan_of_other_numbers,
    ],
)
def test_damage_is_named_and_nothing_is_changed(whole: Folder, damage: Callable[[Folder], str]):
    complaint = damage(whole)
    before = files(whole)
    report = verify(whole)
    assert [problem for problem in report.problems if problem.startswith(complaint)], report.problems
    assert report.exit_status == 1
    assert f"wrong: {complaint}" in shown(report)
    assert "NOT whole" in shown(report)
    assert files(whole) == before


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("running", "a run is at work, or was killed"),
        ("interrupted", "the run was interrupted"),
        ("limited", "the run stopped at its --limit"),
    ],
)
def test_an_unfinished_run_is_unfinished_and_not_damaged(whole: Folder, status: str, reason: str):
    whole.remove(part_with(whole, 20))
    store_part(whole, STAGED, 0, score_rows([6], attempt=2))
    begin_run(whole, num_rows=NUM_ROWS, status=status)
    report = verify(whole)
    assert report.problems == ()
    assert report.exit_status == 1
    first, second = shown(report).splitlines()
    assert first == f"unfinished: {reason}, 5 images have no row yet; the same command goes on from there"
    assert second.startswith(f"{whole.url()}: NOT finished")


def test_a_run_killed_after_its_last_part_is_unfinished_too(whole: Folder):
    begin_run(whole, num_rows=NUM_ROWS)
    assert "every image has a row; the same command" in shown(verify(whole))


def test_damage_in_an_unfinished_run_is_still_damage(whole: Folder):
    complaint = torn_part(whole)
    begin_run(whole, num_rows=NUM_ROWS, status="interrupted")
    text = shown(verify(whole))
    assert f"wrong: {complaint}" in text
    assert "unfinished: the run was interrupted" in text
    assert "NOT whole" in text


def test_many_problems_are_counted_and_json_has_them_all(whole: Folder):
    for number in range(30):
        whole.write(f"{PARTS}/mine-{number:02d}.parquet", b"mine")
    report = verify(whole)
    assert shown(report).count("wrong: ") == 20
    assert "and 10 more (--json lists all)" in shown(report)
    assert len(report.as_dict()["problems"]) == 30


def test_the_folder_of_the_demo_is_known(output: Folder):
    table = output / "table"
    write_manifest(table, num_rows=5)
    store_part(table, PARTS, 0, score_rows(range(5)))
    end_run(table, num_rows=5, errors={})
    report = verify(output)
    assert (report.output, report.problems, report.num_rows) == (table.url(), (), 5)
