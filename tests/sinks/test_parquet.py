"""The Parquet sink: which folder rows go to."""

import pyarrow as pa
import pytest

from artimuse.sinks.parquet import ParquetSink
from artimuse.sinks.parts import PARTS, STAGED, read_part
from artimuse.storage import Folder
from tests.sinks.score_rows import FINGERPRINTS, score_rows


def test_first_attempts_go_to_the_table_and_later_ones_wait_beside_it(sink: ParquetSink, output: Folder):
    first = sink.write(score_rows([1, 2], code="corrupt")).part
    later = sink.write(score_rows([1, 2], attempt=2)).part
    assert later == first
    assert (output.names(PARTS), output.names(STAGED)) == ([first], [first])
    assert read_part(output, PARTS, first)["status"].to_pylist() == ["failed", "failed"]
    assert sink.open(FINGERPRINTS).num_done() == 2


def test_staged_rows_alone_are_not_done(sink: ParquetSink):
    sink.write(score_rows([1, 2], attempt=2))
    assert sink.open(FINGERPRINTS).num_done() == 0


def test_first_and_later_attempts_do_not_mix(sink: ParquetSink, output: Folder):
    with pytest.raises(ValueError, match="first attempts, or later ones"):
        sink.write(pa.concat_tables([score_rows([1]), score_rows([2], attempt=2)]))
    assert output.names(PARTS) == output.names(STAGED) == []


def test_second_and_third_attempts_may_share_a_part(sink: ParquetSink, output: Folder):
    name = sink.write(pa.concat_tables([score_rows([1], attempt=3), score_rows([2], attempt=2)])).part
    assert read_part(output, STAGED, name)["attempt"].to_pylist() == [3, 2]
