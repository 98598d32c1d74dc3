"""Files of a table with a single bit that has flipped, on a disk or on the way: none of them changes a value unseen."""

import io
import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from artimuse.configs.verify import VerifyConfig
from artimuse.errors import BadInput
from artimuse.io.folder import Folder
from artimuse.table.checked import DAMAGED, read_checked
from artimuse.table.condition import Condition
from artimuse.table.facts import read_table_facts
from artimuse.table.ledger import Ledger
from artimuse.table.parts import PARTS, store_part
from artimuse.table.plan import shard_name
from artimuse.table.verify import run
from tests.table.score_rows import end_run, filesystem_of, score_rows, write_manifest

NUM_ROWS = 10
NUM_FLIPS = 500


@pytest.fixture
def whole(output: Folder) -> Folder:
    """A finished run of ten rows, of different values, in one part."""
    write_manifest(output, num_rows=NUM_ROWS)
    store_part(output, PARTS, 0, various_rows(NUM_ROWS))
    end_run(output, num_rows=NUM_ROWS, errors={})
    return output


def various_rows(num_rows: int) -> pa.Table:
    random_values, rows = np.random.default_rng(0), score_rows(range(num_rows), text="Soft light.")
    values = {
        "score": random_values.random(num_rows) * 100,
        "score_std": random_values.random(num_rows),
        "score_probs": list(random_values.random((num_rows, 5)).astype(np.float16)),
        "sha256": [random_values.bytes(32).hex() for _ in range(num_rows)],
        "phash": random_values.integers(2**63, size=num_rows),
        "overall_gestalt": [f"Soft light, {number}." for number in range(num_rows)],
    }
    for name, column in values.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(column, field.type))
    return rows


def flipped(data: bytes) -> Iterator[bytes]:
    for place in random.Random(7).sample(range(8 * len(data)), NUM_FLIPS):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)


def test_no_flipped_bit_of_a_part_changes_a_value_unseen(whole: Folder):
    [name] = whole.names(PARTS)
    data = whole.read(f"{PARTS}/{name}")
    rows = read_checked(io.BytesIO(data))
    num_seen = 0
    for changed in flipped(data):
        try:
            found = read_checked(io.BytesIO(changed))
        except DAMAGED:
            num_seen += 1
        else:
            assert found.equals(rows)
            assert found.schema.equals(rows.schema)
    assert num_seen > NUM_FLIPS / 2


@pytest.mark.parametrize("what", ["part", "plan"])
def test_verify_names_the_file_in_which_a_bit_of_a_value_has_flipped(whole: Folder, what: str):
    [part] = whole.names(PARTS)
    name = f"{PARTS}/{part}" if what == "part" else shard_name(0)
    data = whole.read(name)
    changed = next(data for data in flipped(data) if is_damaged(data))
    filesystem_of(whole).pipe_file(whole.path(name), changed)
    report = run(VerifyConfig(output=whole.url()), Console(file=io.StringIO()))
    assert name in report.problems[0]
    assert "cannot be read" in report.problems[0]


def test_a_part_with_a_flipped_bit_is_scored_again(whole: Folder, caplog: pytest.LogCaptureFixture):
    [part] = whole.names(PARTS)
    data = whole.read(f"{PARTS}/{part}")
    changed = next(data for data in flipped(data) if is_damaged(data, ["score"]))
    filesystem_of(whole).pipe_file(whole.path(f"{PARTS}/{part}"), changed)
    assert read_table_facts(whole).num_rows == 0
    assert f"part unreadable, its rows are scored again part={part}" in caplog.text
    assert whole.names(PARTS) == []


def test_a_damaged_part_does_not_blame_the_condition_and_is_scored_again(whole: Folder):
    [part] = whole.names(PARTS)
    data = whole.read(f"{PARTS}/{part}")
    changed = next(
        data for data in flipped(data) if is_damaged(data, ["score"]) and not is_damaged(data, ["row_number"])
    )
    filesystem_of(whole).pipe_file(whole.path(f"{PARTS}/{part}"), changed)
    ledger = Ledger(whole, num_rows=NUM_ROWS, rows_per_shard=10)
    condition = Condition("score >= 0", various_rows(1).schema)
    assert ledger.offsets_where(0, condition).tolist() == []
    assert ledger.num_done() == 0
    with pytest.raises(BadInput, match="Conversion Error"):
        whole_again(whole).offsets_where(0, Condition("CAST(sha256 AS INTEGER) > 3", various_rows(1).schema))
    assert whole.names(PARTS) == [part], "the part is not to blame"


def whole_again(output: Folder) -> Ledger:
    store_part(output, PARTS, 0, various_rows(NUM_ROWS))
    return Ledger(output, num_rows=NUM_ROWS, rows_per_shard=10)


def is_damaged(data: bytes, columns: list[str] | None = None) -> bool:
    try:
        read_checked(io.BytesIO(data), columns)
    except DAMAGED:
        return True
    return False
