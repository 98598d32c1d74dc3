"""The plan on a local disk and on fsspec's in-memory store, with small shards."""

import resource
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadInput, BadOutput
from artimuse.io.folder import Folder
from artimuse.sources import open_source
from artimuse.table.plan import (
    PlanFacts,
    num_shard_rows,
    num_shards,
    plan_passthrough_schema,
    read_plan_rows,
    shard_name,
    write_plan,
)
from artimuse.table.schema import IMAGE_ID, URI


class Rows:
    """A source of these ids, in batches of any size, with a nested passthrough column."""

    passthrough = pa.schema([("tags", pa.list_(pa.string()))])
    skipped: Mapping[str, int] = MappingProxyType({".txt": 2})

    def __init__(self, ids: list[str], *, batch_rows: int = 7) -> None:
        self.ids = ids
        self.batch_rows = batch_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        for first in range(0, len(self.ids), self.batch_rows):
            ids = self.ids[first : first + self.batch_rows]
            columns = [pa.array(ids), pa.array([f"/data/{id}" for id in ids]), pa.array([[id, "x"] for id in ids])]
            yield pa.RecordBatch.from_arrays(columns, schema=pa.schema([IMAGE_ID, URI, *self.passthrough]))


def numbered(num_rows: int) -> list[str]:
    return [f"{number}.jpg" for number in range(num_rows)]


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Folder:
    return Folder.at(str(tmp_path / "output") if request.param == "local" else memory_url)


def plan(output: Folder, ids: list[str], **sizes: int) -> PlanFacts:
    return write_plan(Rows(ids), output, **{"rows_per_shard": 10, "rows_per_group": 4, **sizes})


def test_the_plan_holds_every_row_once_and_in_order(output: Folder):
    summary = plan(output, numbered(25))
    assert (summary.num_rows, summary.num_shards, summary.skipped) == (25, 3, {".txt": 2})
    assert num_shards(output) == 3
    assert [num_shard_rows(output, shard) for shard in range(3)] == [10, 10, 5]
    tables = [read_plan_rows(output, shard, range(num_shard_rows(output, shard))) for shard in range(3)]
    found = pa.concat_tables(tables)
    assert found["row_number"].to_pylist() == list(range(25))
    assert found["image_id"].to_pylist() == numbered(25)
    assert found["uri"].to_pylist() == [f"/data/{id}" for id in numbered(25)]
    assert found["tags"].to_pylist() == [[id, "x"] for id in numbered(25)]


def test_shards_and_row_groups_have_the_sizes_asked_for(tmp_path: Path):
    plan(Folder.at(str(tmp_path)), numbered(25))
    metadata = pq.read_metadata(tmp_path / shard_name(0))
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 4, 2]


@pytest.mark.parametrize("num_rows", [1, 4, 9, 10, 11, 20])
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_any_number_of_rows_in_any_batches_fits(tmp_path: Path, num_rows: int, batch_rows: int):
    output = Folder.at(str(tmp_path))
    write_plan(Rows(numbered(num_rows), batch_rows=batch_rows), output, rows_per_shard=10, rows_per_group=4)
    found = [
        id
        for shard in range(num_shards(output))
        for id in read_plan_rows(output, shard, range(num_shard_rows(output, shard)))["image_id"].to_pylist()
    ]
    assert found == numbered(num_rows)


def test_rows_come_in_the_order_of_their_offsets(output: Folder):
    plan(output, numbered(25))
    found = read_plan_rows(output, 1, np.array([9, 0, 3, 4, 8]))
    assert found["row_number"].to_pylist() == [19, 10, 13, 14, 18]
    assert read_plan_rows(output, 2, []).num_rows == 0
    assert read_plan_rows(output, 2, []).schema == found.schema


def test_an_offset_outside_the_shard_is_the_callers_mistake(output: Folder):
    plan(output, numbered(25))
    for offsets in ([10], [-1], [0, 10]):
        with pytest.raises(ValueError, match=r"manifest/000000\.parquet has 10 rows; got offsets"):
            read_plan_rows(output, 0, offsets)


def test_the_passthrough_schema_is_read_from_the_files(output: Folder):
    plan(output, numbered(1))
    assert plan_passthrough_schema(output) == Rows.passthrough


def test_duplicate_ids_are_refused_before_anything_is_written(output: Folder):
    ids = numbered(25)
    ids[23], ids[17], ids[19] = ids[2], ids[5], ids[5]
    with pytest.raises(BadInput) as caught:
        plan(output, ids)
    assert str(caught.value) == (
        "2 image_ids occur more than once (rows count from 0): '2.jpg' in rows 2, 23; '5.jpg' in rows 5, 17, 19. "
        "Each image needs an id of its own."
    )
    assert num_shards(output) == 0


def test_at_most_three_duplicate_ids_are_named(output: Folder):
    with pytest.raises(
        BadInput, match=r"^12 image_ids .*'0' in rows 0, 12, 24, \.\.\.; .*'2' in rows .*; \.\.\.\. Each"
    ):
        plan(output, [str(number % 12) for number in range(48)])


def test_ids_are_compared_byte_by_byte(output: Folder):
    ids = ["A.jpg", "a.jpg", "a.jpg ", "é", "e\u0301", "🦊", "a\nb", "a\0b", "a\0c", "\\xff"]
    plan(output, ids)
    assert read_plan_rows(output, 0, range(len(ids)))["image_id"].to_pylist() == ids


def test_a_malformed_source_leaves_no_plan(tmp_path: Path):
    (tmp_path / "m.csv").write_text("uri\n" + "a.jpg\n" * 5000 + '"never closed\n')
    output = Folder.at(str(tmp_path / "output"))
    with pytest.raises(BadInput, match="unexpected end of data"):
        write_plan(open_source(str(tmp_path / "m.csv")), output)
    assert not (tmp_path / "output").exists()


def test_what_an_interrupted_planning_left_is_replaced(output: Folder):
    plan(output, numbered(45))
    output.remove(shard_name(0))  # it would have come last
    plan(output, numbered(15))
    assert num_shards(output) == 2
    assert num_shard_rows(output, 0) == 10


def test_a_damaged_shard_is_named(output: Folder):
    plan(output, numbered(5))
    output.write(shard_name(0), b"not parquet")
    with pytest.raises(BadOutput, match=r"manifest/000000\.parquet: not a readable part of the plan"):
        read_plan_rows(output, 0, [0])


def test_no_room_for_the_plan_names_the_way_out(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(BadOutput, match=r"no plan could be made here .* set TMPDIR to a larger disk"):
            plan(Folder.at(str(tmp_path / "output")), numbered(25))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "output").exists()


def test_planning_leaves_nothing_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    plan(Folder.at(str(tmp_path / "output")), numbered(25))
    with pytest.raises(BadInput):
        plan(Folder.at(str(tmp_path / "output")), ["a", "a"])
    assert list(scratch.iterdir()) == []


def test_row_groups_larger_than_shards_are_the_callers_mistake(output: Folder):
    with pytest.raises(ValueError, match="rows_per_group 20: expected 1 to rows_per_shard, 10"):
        plan(output, numbered(1), rows_per_group=20)
