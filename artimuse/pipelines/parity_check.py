"""The parity certificate of a run: some of its images, scored by its engine and by the reference, where workers run."""

from itertools import groupby

import numpy as np
import ray

from artimuse.engines import reference_of
from artimuse.errors import ParityFailed
from artimuse.interfaces import PixelArray
from artimuse.parity import ParityCertificate, certify
from artimuse.pipelines.cluster import Workers
from artimuse.pipelines.graph import cause_of
from artimuse.pipelines.rows import RowDecoder, ScoreJob, pixels_of
from artimuse.scoring import STRATEGIES

NUM_IMAGES = 32


def check_parity(
    job: ScoreJob, workers: Workers, *, num_rows: int, tolerance: float | None
) -> ParityCertificate | None:
    """Compares on images from all over the plan.

    None if the engine has no reference, or none of the images that were looked at can be read. Raises what loading
    the engine raises.
    """
    if reference_of(job.engine.name) is None:
        return None
    check = _certify.options(num_gpus=workers.num_gpus, num_cpus=workers.num_cpus)
    try:
        certificate: ParityCertificate | None = ray.get(check.remote(job, num_rows, tolerance))
    except ray.exceptions.RayError as error:
        raise (cause_of(error) or error) from error
    return certificate


def refuse_difference(certificate: ParityCertificate) -> None:
    """Raises ParityFailed if the scores differ by more than is allowed."""
    if not certificate.holds:
        raise ParityFailed(
            f"engine {certificate.engine} does not score as the reference does: {certificate}; nothing was scored."
            f" --engine {certificate.reference} is slow and right; --parity-tolerance or --no-parity-check let it pass"
        )


# A process of its own: what the engines have taken of a device is free again when it ends.
@ray.remote(max_calls=1, max_retries=0)
def _certify(job: ScoreJob, num_rows: int, tolerance: float | None) -> ParityCertificate | None:
    pixels_BHWC = _sample(job, num_rows)
    if not len(pixels_BHWC):
        return None
    return certify(job.engine, STRATEGIES[job.strategy], pixels_BHWC, tolerance=tolerance)


def _sample(job: ScoreJob, num_rows: int) -> PixelArray:
    """Up to `NUM_IMAGES` readable images; as many others stand in for those that are not."""
    candidates = np.unique(np.linspace(0, num_rows - 1, 2 * NUM_IMAGES, dtype=np.int64))
    decode = RowDecoder(job)
    found: list[PixelArray] = []
    for rows in (candidates[::2], candidates[1::2]):
        for shard, numbers in groupby(rows.tolist(), key=lambda row: row // job.rows_per_shard):
            offsets = np.array([row % job.rows_per_shard for row in numbers], dtype=np.int32)
            for chunk in decode(shard, offsets, 1, NUM_IMAGES):
                found.append(pixels_of(chunk)[chunk["error_code"].is_null().to_numpy()])
        if sum(map(len, found)) >= NUM_IMAGES:
            break
    return np.concatenate(found)[:NUM_IMAGES]
