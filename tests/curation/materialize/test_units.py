"""Units of a selection, and the rows that they read."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.curation.materialize import units
from artimuse.curation.materialize.units import Unit, bounded_units, equal_units, read_units


def test_equal_units_cover_all_entries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(units, "ROWS_PER_UNIT", 4)
    assert equal_units(9) == [Unit(0, 0, 4), Unit(1, 4, 4), Unit(2, 8, 1)]
    assert equal_units(0) == []


def test_bounded_units_hold_what_fits_and_at_least_one():
    found = bounded_units([3, 3, 3, 9, 1, 1, 1, 1], most=6, max_entries=3)
    assert [(unit.first, unit.num_entries) for unit in found] == [(0, 2), (2, 1), (3, 1), (4, 3), (7, 1)]
    assert bounded_units([], most=6, max_entries=3) == []


@pytest.mark.parametrize("seed", range(20))
def test_units_have_their_rows_wherever_row_groups_and_batches_end(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    choice = random.Random(seed)
    num_rows = choice.randint(1, 200)
    monkeypatch.setattr(units, "ROWS_PER_UNIT", choice.randint(1, 60))
    monkeypatch.setattr(units, "_BATCH_ROWS", choice.randint(1, 20))
    table = pa.table({"number": range(num_rows), "other": ["x"] * num_rows})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=choice.randint(1, 50))
    wanted = [unit for unit in equal_units(num_rows) if choice.random() < 0.6]
    found = [
        (unit, rows["number"].to_pylist()) for unit, rows in read_units(f"{tmp_path}/rows.parquet", wanted, ["number"])
    ]
    assert found == [(unit, list(range(unit.first, unit.end))) for unit in wanted]
