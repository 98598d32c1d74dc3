"""The work of a scoring run on a Ray cluster: graphs that can be stopped, and compaction beside them."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import ray

from artimuse.configs.engine import Device, chosen_dtype
from artimuse.configs.score import ScoreConfig
from artimuse.images.decode import leave_limits_to_decode
from artimuse.io.folder import Folder
from artimuse.pipelines.admission import AdmissionHandle, make_admission
from artimuse.pipelines.backlog import Unit
from artimuse.pipelines.graph import run_graph
from artimuse.pipelines.node_check import check_nodes
from artimuse.pipelines.parity import ParityCertificate, certify_run
from artimuse.pipelines.record import ModelFacts
from artimuse.pipelines.rows import Receipt, ScoreJob
from artimuse.pipelines.workers import Workers, plan_workers
from artimuse.runs.cluster import cause_of, connect
from artimuse.runs.preconditions import refuse_missing
from artimuse.runs.signals import StopRequest
from artimuse.table.compaction import compact_shard

# Each takes up to twice `compaction.MAX_PART_BYTES` of memory.
MAX_COMPACTIONS = 2
_POLL_S = 0.2


class OnRay:
    """Implements `backend.Backend`."""

    workers: Workers

    def __init__(self) -> None:
        self._compactions: list[ray.ObjectRef[None]] = []

    @property
    def num_workers(self) -> int:
        return self.workers.max_size

    def open(self, config: ScoreConfig, model: ModelFacts) -> ScoreConfig:
        refuse_missing(
            packages={"vllm": "--engine vllm needs pip install 'artimuse[vllm]'"} if config.engine == "vllm" else {},
            needs_gpu=config.device == "cuda" or bool(config.num_gpus),
            gpu_option="--device cuda" if config.device == "cuda" else f"--num-gpus {config.num_gpus or 0:g}",
        )
        connect(debug=config.debug)
        self.workers = plan_workers(config, weight_bytes=model.num_bytes)
        device: Device = "cuda" if self.workers.num_gpus else "cpu"
        return replace(config, model=model.name, device=device, dtype=chosen_dtype(config.dtype, device))

    def check(self, job: ScoreJob, *, weights: str | None) -> None:
        check_nodes(job, weights=weights)

    def certify(self, job: ScoreJob, *, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
        task = _certify.options(num_gpus=self.workers.num_gpus, num_cpus=self.workers.num_cpus)
        try:
            certificate: ParityCertificate | None = ray.get(task.remote(job, num_rows, tolerance))
        except ray.exceptions.RayError as error:
            raise (cause_of(error) or error) from error
        return certificate

    def receipts(
        self, job: ScoreJob, units: Sequence[Unit], *, rows_per_part: int, stop: StopRequest
    ) -> Generator[Receipt, None, None]:
        admission = make_admission()
        graph = run_graph(job, units, self.workers, admission, rows_per_part=rows_per_part)
        return _until_stopped(graph, admission, stop)

    def compact(self, output: Folder, shard: int, *, is_complete: bool, stop: StopRequest) -> None:
        while len(self._compactions) >= MAX_COMPACTIONS and stop.left_s:
            self._collect()
        self._compactions.append(_compact.remote(output, shard, is_complete))

    def wait(self, stop: StopRequest) -> None:
        while self._compactions and stop.left_s:
            self._collect()

    def _collect(self) -> None:
        """Raises what a compaction raised."""
        done, self._compactions = ray.wait(self._compactions, timeout=_POLL_S)
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            raise (cause_of(error) or error) from error


@ray.remote(num_cpus=0)
def _compact(output: Folder, shard: int, is_complete: bool) -> None:
    compact_shard(output, shard, is_complete=is_complete)


# A process of its own: what the engines have taken of a device is free again when it ends.
@ray.remote(max_calls=1, max_retries=0)
def _certify(job: ScoreJob, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
    leave_limits_to_decode()
    found = certify_run(job, num_rows=num_rows, tolerance=tolerance)
    return found[0] if found else None


def _until_stopped(
    graph: Iterator[Receipt], admission: AdmissionHandle, stop: StopRequest
) -> Generator[Receipt, None, None]:
    """The receipts of a graph; after a stop request, of those rows only that workers had begun."""
    # In a thread, because waiting for a receipt must not keep a stop request waiting.
    results: queue.SimpleQueue[Receipt | BaseException | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(graph, results), name="receipts", daemon=True).start()
    num_rows = 0
    try:
        while not stop.is_set or (stop.left_s and num_rows < _close(admission)):
            try:
                result = results.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if result is None:
                return
            if isinstance(result, BaseException):
                raise result
            num_rows += result.num_rows
            yield result
    finally:
        admission.close.remote()  # whatever ended this, no worker begins anything new


def _close(admission: AdmissionHandle) -> int:
    """The number of rows that come out of the graph, or have."""
    num_rows: int = ray.get(admission.close.remote())
    return num_rows


def _pump(graph: Iterator[Receipt], results: "queue.SimpleQueue[Receipt | BaseException | None]") -> None:
    try:
        for receipt in graph:
            results.put(receipt)
        results.put(None)
    except BaseException as error:  # noqa: BLE001 - thread boundary: raised again by the reader
        results.put(error)
