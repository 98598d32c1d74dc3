"""Opening an output: what is done, and which settings it was made with; on a local disk and on an object store."""

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder
from artimuse.table.ledger import Ledger
from artimuse.table.open import refuse_foreign_files
from artimuse.table.record import RUN_FILE
from tests.table.score_rows import FINGERPRINTS, SmallTable, filesystem_of, score_rows


def files(output: Folder) -> dict[str, bytes]:
    """Everything in the output, path -> content."""
    paths = filesystem_of(output).find(output.root)
    return {str(path): filesystem_of(output).cat_file(path) for path in paths}


def done(ledger: Ledger) -> list[int]:
    """Numbers of all rows that are done."""
    flags = [ledger.done_rows(shard) for shard in range(3)]
    assert [len(shard) for shard in flags] == [10, 10, 5]
    return np.flatnonzero(np.concatenate(flags)).tolist()


def test_nothing_is_done_in_a_new_output(table: SmallTable):
    assert done(table.open(FINGERPRINTS)) == []


def test_what_is_written_is_done_and_nothing_else(table: SmallTable):
    table.write(score_rows([3, 4]))
    table.write(score_rows([12], score=None))
    table.write(score_rows(range(20, 25)))
    assert done(table.open(FINGERPRINTS)) == [3, 4, 12, 20, 21, 22, 23, 24]


def test_writing_stores_one_file_and_returns_its_name(table: SmallTable, output: Folder):
    before = files(output).keys()
    name = table.write(score_rows(range(10)))
    assert [path.rpartition("/")[2] for path in files(output).keys() - before] == [name]


def test_writing_the_same_rows_again_is_harmless(table: SmallTable, output: Folder):
    first = table.write(score_rows([3, 4, 5], score=20))
    before = files(output).keys()
    second = table.write(score_rows([5, 3, 4], score=21))
    assert second == first
    assert files(output).keys() == before
    assert done(table.open(FINGERPRINTS)) == [3, 4, 5]


def test_parts_of_different_rows_do_not_replace_each_other(table: SmallTable):
    parts = {table.write(score_rows(rows)) for rows in ([0, 2], [0, 1, 2], [0, 1], [10, 12], [0])}
    assert len(parts) == 5


def test_rows_of_two_shards_are_refused_and_nothing_is_stored(table: SmallTable, output: Folder):
    before = files(output)
    with pytest.raises(ValueError, match="one plan shard"):
        table.write(score_rows([9, 10]))
    assert files(output) == before


def test_a_row_that_comes_twice_is_refused_and_nothing_is_stored(table: SmallTable, output: Folder):
    before = files(output)
    with pytest.raises(ValueError, match="each row once"):
        table.write(score_rows([3, 4, 3]))
    assert files(output) == before


def test_a_part_without_rows_is_refused(table: SmallTable):
    with pytest.raises(ValueError, match="at least one row"):
        table.write(score_rows([]))


@pytest.mark.parametrize(
    ("kind", "field"), [("plan", "input"), ("score", "weights"), ("score", "strategy"), ("score", "dtype")]
)
def test_other_fingerprints_are_refused_naming_the_field(table: SmallTable, kind: str, field: str):
    table.write(score_rows([3]))
    asked = deepcopy(FINGERPRINTS)
    asked[kind][field] = "something else"
    with pytest.raises(RunMismatch, match=f"{kind} {field}: OUTPUT has '.*', this run has 'something else'") as caught:
        table.open(asked)
    assert str(caught.value).count("OUTPUT has") == 1


def test_every_field_that_differs_is_named(table: SmallTable):
    table.write(score_rows([3]))
    with pytest.raises(RunMismatch) as caught:
        table.open({"plan": {"input": "/else"}, "score": {"weights": "x", "strategy": "levels_5", "dtype": "y"}})
    message = str(caught.value)
    assert all(field in message for field in ("plan input", "score weights", "score dtype"))
    assert "strategy" not in message


def test_first_texts_are_no_mismatch_and_other_texts_are(table: SmallTable, output: Folder):
    table.write(score_rows([3]))
    texts = {"weights": "abc", "max_new_tokens": 256}
    table.open({**FINGERPRINTS, "texts": texts})
    RUN_FILE.write(output, replace(RUN_FILE.read(output), fingerprints={**FINGERPRINTS, "texts": texts}))
    table.open({**FINGERPRINTS, "texts": texts})
    table.open(FINGERPRINTS)
    with pytest.raises(RunMismatch, match="texts max_new_tokens: OUTPUT has 256, this run has 8"):
        table.open({**FINGERPRINTS, "texts": {**texts, "max_new_tokens": 8}})


def test_settings_are_not_bound_before_there_is_a_row(table: SmallTable, output: Folder):
    asked = {**FINGERPRINTS, "score": {"weights": "x"}}
    table.open(asked)
    assert RUN_FILE.read(output).fingerprints == asked
    table.write(score_rows([3], attempt=2), replaces=True)
    with pytest.raises(RunMismatch):
        table.open(FINGERPRINTS)


def test_another_decoder_is_refused_with_the_way_to_go_on(table: SmallTable, output: Folder):
    RUN_FILE.write(output, replace(RUN_FILE.read(output), fingerprints={**FINGERPRINTS, "decoder": {"pillow": "12"}}))
    table.write(score_rows([3]))
    message = r"decoder pillow: OUTPUT has '12', this run has '13' \(--accept-decoder allows it\)"
    with pytest.raises(RunMismatch, match=message):
        table.open({**FINGERPRINTS, "decoder": {"pillow": "13"}})


def test_an_output_that_does_not_know_of_decoders_may_be_gone_on_with(table: SmallTable):
    table.write(score_rows([3]))
    table.open({**FINGERPRINTS, "decoder": {"pillow": "13"}})


def test_a_new_output_gets_its_record(output: Folder):
    assert done(SmallTable(output).open()) == []
    assert RUN_FILE.read(output).fingerprints == FINGERPRINTS


def test_an_output_with_files_of_its_own_is_refused(output: Folder, table: SmallTable):
    refuse_foreign_files(output)
    output.remove(RUN_FILE.name)
    output.write("thesis.tex", b"years of work")
    with pytest.raises(BadOutput, match=r"has files of its own \(thesis\.tex\)"):
        refuse_foreign_files(output)


def test_what_a_killed_writer_left_unfinished_does_not_count(table: SmallTable, output: Folder):
    before = files(output).keys()
    table.write(score_rows([3, 4]))
    for path in files(output).keys() - before:
        folder, _, name = path.rpartition("/")
        filesystem_of(output).pipe_file(
            f"{folder}/.{name}.0123456789ab.unfinished", filesystem_of(output).cat_file(path)[:100]
        )
        filesystem_of(output).rm_file(path)
    assert done(table.open(FINGERPRINTS)) == []
    table.write(score_rows([3, 4]))
    assert done(table.open(FINGERPRINTS)) == [3, 4]


def test_an_output_can_be_sent_to_another_process(table: SmallTable):
    sent = pickle.loads(pickle.dumps(table.output))
    name = SmallTable(sent).write(score_rows([3, 4]))
    assert table.write(score_rows([3, 4])) == name
    assert done(table.open(FINGERPRINTS)) == [3, 4]
