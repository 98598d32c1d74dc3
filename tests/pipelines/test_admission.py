"""The gate of a graph, and a worker's passage through it."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
import ray

from artimuse.pipelines import admission as gate_module
from artimuse.pipelines.admission import AdmissionHandle, WorkerAdmission, make_admission

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

CHUNK = pa.table({"row": range(4)})


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[GateHandle]:
    monkeypatch.setattr(gate_module, "ASK_EVERY_S", 0.0)
    gate = make_gate()
    yield gate
    ray.kill(gate)


def close(gate: GateHandle) -> int:
    return ray.get(gate.close.remote())


def test_an_open_gate_lets_everything_through(gate):
    assert list(Passage(gate).through((0, 0), 8, [CHUNK, CHUNK])) == [CHUNK, CHUNK]
    assert close(gate) == 8


def test_a_closed_gate_lets_nothing_begin_and_does_not_even_decode_it(gate):
    assert close(gate) == 0

    def chunks() -> Iterator[pa.Table]:
        pytest.fail("decoded")
        yield CHUNK

    assert list(Passage(gate).through((0, 0), 8, chunks())) == []
    assert close(gate) == 0


def test_a_unit_that_is_inside_when_the_gate_closes_ends_with_its_chunk(gate):
    unit = Passage(gate).through((0, 0), 12, [CHUNK, CHUNK, CHUNK])
    assert next(unit) == CHUNK
    assert close(gate) == 12, "until the worker says otherwise"
    assert list(unit) == []
    assert close(gate) == 4


def test_a_unit_on_its_last_chunk_is_whole(gate):
    unit = Passage(gate).through((0, 0), 8, [CHUNK, CHUNK])
    assert [next(unit), next(unit)] == [CHUNK, CHUNK]
    close(gate)
    assert list(unit) == []
    assert close(gate) == 8


def test_a_unit_that_ray_runs_again_is_counted_once_and_may_finish(gate):
    killed = Passage(gate).through((0, 0), 8, [CHUNK, CHUNK])
    next(killed)
    assert close(gate) == 8
    assert list(Passage(gate).through((0, 0), 8, [CHUNK, CHUNK])) == [CHUNK]
    assert close(gate) == 4


def test_units_are_told_apart_by_shard_and_first_row(gate):
    passage = Passage(gate)
    for unit in ((0, 0), (0, 8), (1, 0)):
        assert list(passage.through(unit, 4, [CHUNK])) == [CHUNK]
    assert close(gate) == 12


def test_a_worker_does_not_ask_more_often_than_it_must(gate, monkeypatch):
    monkeypatch.setattr(gate_module, "ASK_EVERY_S", 3600.0)
    unit = Passage(gate).through((0, 0), 16, [CHUNK] * 4)
    assert [next(unit), next(unit)] == [CHUNK, CHUNK]  # has asked after the first
    close(gate)
    assert len(list(unit)) == 2
