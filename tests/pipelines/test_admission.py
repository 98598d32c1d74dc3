"""Admission of units to a graph, and a worker's side of it.

It needs Ray: admission is an actor that drivers, workers and their deaths act on.
"""

from collections.abc import Iterator

import pyarrow as pa
import pytest
import ray

from artimuse.pipelines import admission as admission_module
from artimuse.pipelines.admission import AdmissionHandle, WorkerAdmission, make_admission

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

CHUNK = pa.table({"row": range(4)})


@pytest.fixture
def admission(monkeypatch: pytest.MonkeyPatch) -> Iterator[AdmissionHandle]:
    monkeypatch.setattr(admission_module, "ASK_EVERY_S", 0.0)
    admission = make_admission()
    yield admission
    ray.kill(admission)


def close(admission: AdmissionHandle) -> int:
    return ray.get(admission.close.remote())


def test_everything_is_admitted_until_it_is_closed(admission):
    assert list(WorkerAdmission(admission).admitted((0, 0), 8, [CHUNK, CHUNK])) == [CHUNK, CHUNK]
    assert close(admission) == 8


def test_closed_it_lets_nothing_begin_and_does_not_even_decode_it(admission):
    assert close(admission) == 0

    def chunks() -> Iterator[pa.Table]:
        pytest.fail("decoded")
        yield CHUNK

    assert list(WorkerAdmission(admission).admitted((0, 0), 8, chunks())) == []
    assert close(admission) == 0


def test_a_unit_that_has_begun_when_it_closes_ends_with_its_chunk(admission):
    unit = WorkerAdmission(admission).admitted((0, 0), 12, [CHUNK, CHUNK, CHUNK])
    assert next(unit) == CHUNK
    assert close(admission) == 12, "until the worker says otherwise"
    assert list(unit) == []
    assert close(admission) == 4


def test_a_unit_on_its_last_chunk_is_whole(admission):
    unit = WorkerAdmission(admission).admitted((0, 0), 8, [CHUNK, CHUNK])
    assert [next(unit), next(unit)] == [CHUNK, CHUNK]
    close(admission)
    assert list(unit) == []
    assert close(admission) == 8


def test_a_unit_that_ray_runs_again_is_counted_once_and_may_finish(admission):
    killed = WorkerAdmission(admission).admitted((0, 0), 8, [CHUNK, CHUNK])
    next(killed)
    assert close(admission) == 8
    assert list(WorkerAdmission(admission).admitted((0, 0), 8, [CHUNK, CHUNK])) == [CHUNK]
    assert close(admission) == 4


def test_units_are_told_apart_by_shard_and_first_row(admission):
    worker = WorkerAdmission(admission)
    for unit in ((0, 0), (0, 8), (1, 0)):
        assert list(worker.admitted(unit, 4, [CHUNK])) == [CHUNK]
    assert close(admission) == 12


def test_a_worker_does_not_ask_more_often_than_it_must(admission, monkeypatch):
    monkeypatch.setattr(admission_module, "ASK_EVERY_S", 3600.0)
    unit = WorkerAdmission(admission).admitted((0, 0), 16, [CHUNK] * 4)
    assert [next(unit), next(unit)] == [CHUNK, CHUNK]  # has asked after the first
    close(admission)
    assert len(list(unit)) == 2
