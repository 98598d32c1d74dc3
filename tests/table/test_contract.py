"""What every sink must do, on a local disk and on an object store: a sink is tested by being listed in SINKS."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from artimuse.sinks import SINKS

from artimuse.errors import BadOutput, RunMismatch
from artimuse.interfaces import Ledger, Sink
from artimuse.io.folder import Folder
from artimuse.table.record import read_run, write_run
from tests.table.score_rows import FINGERPRINTS, begin_run, filesystem_of, score_rows

# Shards of 10 rows: 0..9, 10..19 and 20..24.
NUM_ROWS = 25


@pytest.fixture(params=SINKS)
def sink(request: pytest.FixtureRequest, output: Folder) -> Sink:
    begin_run(output, num_rows=NUM_ROWS)
    return SINKS[request.param](output, 10)


def files(output: Folder) -> dict[str, bytes]:
    """Everything in the output, path -> content."""
    paths = filesystem_of(output).find(output.root)
    return {str(path): filesystem_of(output).cat_file(path) for path in paths}


def done(ledger: Ledger) -> list[int]:
    """Numbers of all rows that are done."""
    flags = [ledger.done_rows(shard) for shard in range(3)]
    assert [len(shard) for shard in flags] == [10, 10, 5]
    return np.flatnonzero(np.concatenate(flags)).tolist()


def test_nothing_is_done_in_a_new_output(sink: Sink):
    assert done(sink.open(FINGERPRINTS)) == []


def test_what_is_written_is_done_and_nothing_else(sink: Sink):
    sink.write(score_rows([3, 4]))
    sink.write(score_rows([12], score=None))
    sink.write(score_rows(range(20, 25)))
    assert done(sink.open(FINGERPRINTS)) == [3, 4, 12, 20, 21, 22, 23, 24]


def test_a_receipt_says_how_much_was_stored(sink: Sink, output: Folder):
    before = sum(map(len, files(output).values()))
    receipt = sink.write(score_rows(range(10)))
    assert receipt.num_rows == 10
    assert receipt.num_bytes == sum(map(len, files(output).values())) - before


def test_writing_the_same_rows_again_is_harmless(sink: Sink, output: Folder):
    first = sink.write(score_rows([3, 4, 5], score=20))
    before = files(output).keys()
    second = sink.write(score_rows([5, 3, 4], score=21))
    assert second.part == first.part
    assert files(output).keys() == before
    assert done(sink.open(FINGERPRINTS)) == [3, 4, 5]


def test_parts_of_different_rows_do_not_replace_each_other(sink: Sink):
    parts = {sink.write(score_rows(rows)).part for rows in ([0, 2], [0, 1, 2], [0, 1], [10, 12], [0])}
    assert len(parts) == 5


def test_rows_of_two_shards_are_refused_and_nothing_is_stored(sink: Sink, output: Folder):
    before = files(output)
    with pytest.raises(ValueError, match="one plan shard"):
        sink.write(score_rows([9, 10]))
    assert files(output) == before


def test_a_row_that_comes_twice_is_refused_and_nothing_is_stored(sink: Sink, output: Folder):
    before = files(output)
    with pytest.raises(ValueError, match="each row once"):
        sink.write(score_rows([3, 4, 3]))
    assert files(output) == before


def test_a_part_without_rows_is_refused(sink: Sink):
    with pytest.raises(ValueError, match="at least one row"):
        sink.write(score_rows([]))


@pytest.mark.parametrize(
    ("kind", "field"), [("plan", "input"), ("score", "weights"), ("score", "strategy"), ("score", "dtype")]
)
def test_other_fingerprints_are_refused_naming_the_field(sink: Sink, kind: str, field: str):
    asked = deepcopy(FINGERPRINTS)
    asked[kind][field] = "something else"
    with pytest.raises(RunMismatch, match=f"{kind} {field}: OUTPUT has '.*', this run has 'something else'") as caught:
        sink.open(asked)
    assert str(caught.value).count("OUTPUT has") == 1


def test_every_field_that_differs_is_named(sink: Sink):
    with pytest.raises(RunMismatch) as caught:
        sink.open({"plan": {"input": "/else"}, "score": {"weights": "x", "strategy": "levels_5", "dtype": "y"}})
    message = str(caught.value)
    assert all(field in message for field in ("plan input", "score weights", "score dtype"))
    assert "strategy" not in message


def test_first_texts_are_no_mismatch_and_other_texts_are(sink: Sink, output: Folder):
    texts = {"weights": "abc", "max_new_tokens": 256}
    sink.open({**FINGERPRINTS, "texts": texts})
    write_run(output, {**read_run(output), "fingerprints": {**FINGERPRINTS, "texts": texts}})
    sink.open({**FINGERPRINTS, "texts": texts})
    sink.open(FINGERPRINTS)
    with pytest.raises(RunMismatch, match="texts max_new_tokens: OUTPUT has 256, this run has 8"):
        sink.open({**FINGERPRINTS, "texts": {**texts, "max_new_tokens": 8}})


@pytest.mark.parametrize("name", SINKS)
def test_an_output_without_a_run_is_refused(name: str, output: Folder):
    with pytest.raises(BadOutput, match=r"run\.json"):
        SINKS[name](output, 10).open(FINGERPRINTS)


def test_what_a_killed_writer_left_unfinished_does_not_count(sink: Sink, output: Folder):
    before = files(output).keys()
    sink.write(score_rows([3, 4]))
    for path in files(output).keys() - before:
        folder, _, name = path.rpartition("/")
        filesystem_of(output).pipe_file(
            f"{folder}/.{name}.0123456789ab.unfinished", filesystem_of(output).cat_file(path)[:100]
        )
        filesystem_of(output).rm_file(path)
    assert done(sink.open(FINGERPRINTS)) == []
    sink.write(score_rows([3, 4]))
    assert done(sink.open(FINGERPRINTS)) == [3, 4]


def test_a_sink_can_be_sent_to_another_process(sink: Sink):
    receipt = pickle.loads(pickle.dumps(sink)).write(score_rows([3, 4]))
    assert sink.write(score_rows([3, 4])).part == receipt.part
    assert done(sink.open(FINGERPRINTS)) == [3, 4]
