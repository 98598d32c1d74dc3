"""Proof that an engine scores as the plain reference does: both score the same images, and the scores are compared."""

# B images, H and W pixels, C = 3 channels
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from artimuse.configs.engine import DType, EngineConfig
from artimuse.engines import open_engine, reference_of, shared_network
from artimuse.errors import ParityFailed
from artimuse.interfaces import Engine, FloatArray, PixelArray, ScoreStrategy
from artimuse.pipelines.rows import RowDecoder, ScoreJob, pixels_of
from artimuse.runs.own_device import free_device_memory
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES

NUM_IMAGES = 32
"""The number of a run's images that are scored by both engines."""

TOLERANCE: dict[DType, float] = {"float32": 0.01, "fp8": 2.0}
"""Points; batches and kernels differ in the last bits of float32."""
TOLERANCE_16_BIT = 1.0
LEAST_CORRELATION = {"fp8": 0.98}
"""What 8 bits do to points matters less than what they do to the order of images."""
# Ranks of scores that lie closer together are mostly rounding.
LEAST_SPAN = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityCertificate:
    """How far an engine's scores are from the reference's."""

    engine: str
    reference: str
    dtype: str
    reference_dtype: str
    num_images: int
    max_difference: float
    """Points; infinite if only one of the two has a score for an image."""
    mean_difference: float
    rank_correlation: float | None
    """Spearman's; None if the reference's scores span less than a point."""
    num_flips: int
    """Images on different sides of a threshold: half of the reference's scores are above it."""
    tolerance: float
    """The points by which scores may differ."""
    least_correlation: float | None
    """The rank correlation that is asked for; None: any."""

    @property
    def holds(self) -> bool:
        is_near = self.max_difference <= self.tolerance
        if self.least_correlation is None or self.rank_correlation is None:
            return is_near
        return is_near and self.rank_correlation >= self.least_correlation

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        ranks = "" if self.rank_correlation is None else f", rank correlation {self.rank_correlation:.4f}"
        allowed = f"{self.tolerance:g}"
        if self.least_correlation is not None:
            allowed += f" points, and a rank correlation of {self.least_correlation:g}"
        what = "" if self.dtype == self.reference_dtype else f"{self.dtype} beside "
        return (
            f"{what}{self.num_images} images by engine {self.reference} in {self.reference_dtype}: at most"
            f" {self.max_difference:.2g} points apart, {self.mean_difference:.2g} on average{ranks}, {self.num_flips}"
            f" across the median (allowed: {allowed})"
        )


def certify_run(job: ScoreJob, *, num_rows: int, tolerance: float | None) -> tuple[ParityCertificate, Engine] | None:
    """Compares on images from all over the plan, which has so many rows; the engine may be used on.

    None if the engine has no reference, or none of the images that were looked at can be read. Raises what loading
    the engine raises.
    """
    if reference_of(job.engine.name) is None:
        return None
    pixels_BHWC = _sample(job, num_rows)
    if not len(pixels_BHWC):
        return None
    return certify(job.engine, STRATEGIES[job.strategy], pixels_BHWC, tolerance=tolerance)


_WAY_ON = "--engine exact is slow and right; --parity-tolerance or --no-parity-check let it pass"
_WAYS_ON = {"fp8": "--dtype bfloat16 is slower and nearer; --parity-tolerance lets it pass"}


def refuse_difference(certificate: ParityCertificate | None, dtype: DType) -> None:
    """Raises ParityFailed if the scores differ by more than is allowed, or for fp8 if nothing was compared."""
    if certificate is None:
        if dtype == "fp8":
            raise ParityFailed(
                "--dtype fp8: none of the images that were looked at can be read, so that nothing shows how far its"
                " scores are off; nothing was scored. Use --dtype bfloat16, or an INPUT whose images can be read"
            )
        return
    if not certificate.holds:
        raise ParityFailed(
            f"engine {certificate.engine} does not score as the reference does: {certificate}; nothing was scored."
            f" {_WAYS_ON.get(certificate.dtype, _WAY_ON)}"
        )


def certify(
    config: EngineConfig, strategy: ScoreStrategy, pixels_BHWC: PixelArray, *, tolerance: float | None = None
) -> tuple[ParityCertificate, Engine]:
    """Scores the images by the engine, all at once, and by its reference, one by one; returns the engine too.

    `config` has its precision resolved; the reference of fp8 is in bfloat16. The reference comes first, on the network
    as it was loaded: the engine may take over that network, and change it. One that has to load its own finds the
    device empty. A tolerance that is given is all that is asked for.
    Raises ValueError for an engine that has no reference.
    """
    reference = reference_of(config.name)
    if reference is None:
        raise ValueError(f"engine {config.name} has no reference")
    if config.dtype == "fp8":
        # Not with the module: a driver that leaves the network to its workers does without PyTorch.
        from artimuse.engines.linear import refuse_without_fp8
        from artimuse.engines.network import resolve_device

        refuse_without_fp8(resolve_device(config.device))
    reference_dtype: DType = "bfloat16" if config.dtype == "fp8" else config.dtype
    exact = open_engine(replace(config, name=reference, dtype=reference_dtype))
    expected_B = Scorer(exact, strategy).score_pixels(pixels_BHWC).mean_B
    network = shared_network(exact, config.name)
    del exact
    free_device_memory()
    engine = open_engine(config, network)
    found_B = Scorer(engine, strategy).score_pixels(pixels_BHWC).mean_B
    certificate = ParityCertificate(
        engine=config.name,
        reference=reference,
        dtype=config.dtype,
        reference_dtype=reference_dtype,
        num_images=len(pixels_BHWC),
        **_compared(found_B, expected_B),
        tolerance=TOLERANCE.get(config.dtype, TOLERANCE_16_BIT) if tolerance is None else tolerance,
        least_correlation=LEAST_CORRELATION.get(config.dtype) if tolerance is None else None,
    )
    return certificate, engine


def _sample(job: ScoreJob, num_rows: int) -> PixelArray:
    """Up to `NUM_IMAGES` readable images; as many others stand in for those that are not."""
    candidates = np.unique(np.linspace(0, num_rows - 1, 2 * NUM_IMAGES, dtype=np.int64))
    found: list[PixelArray] = []
    with RowDecoder(job) as decode:
        for rows in (candidates[::2], candidates[1::2]):
            for shard, numbers in groupby(rows.tolist(), key=lambda row: row // job.rows_per_shard):
                offsets = np.array([row % job.rows_per_shard for row in numbers], dtype=np.int32)
                for chunk in decode(shard, offsets, 1, NUM_IMAGES):
                    found.append(pixels_of(chunk)[chunk["error_code"].is_null().to_numpy()])
            if sum(map(len, found)) >= NUM_IMAGES:
                break
    return np.concatenate(found)[:NUM_IMAGES]


def _compared(found_B: FloatArray, expected_B: FloatArray) -> dict[str, Any]:
    is_scored_B = np.isfinite(expected_B)
    if (np.isfinite(found_B) != is_scored_B).any():
        infinite = float("inf")
        return {
            "max_difference": infinite,
            "mean_difference": infinite,
            "rank_correlation": None,
            "num_flips": int((np.isfinite(found_B) != is_scored_B).sum()),
        }
    found, expected = found_B[is_scored_B].astype(np.float64), expected_B[is_scored_B].astype(np.float64)
    differences = np.abs(found - expected)
    half = len(expected) // 2
    # Between the two scores in the middle, so that no image is on the threshold itself.
    threshold = np.sort(expected)[half - 1 : half + 1].mean() if half else -np.inf
    has_span = len(expected) > 1 and np.ptp(expected) >= LEAST_SPAN
    from scipy.stats import spearmanr  # takes most of a second, and only the process that compares needs it

    return {
        "max_difference": float(differences.max(initial=0.0)),
        "mean_difference": float(differences.mean()) if len(differences) else 0.0,
        "rank_correlation": float(spearmanr(found, expected).statistic) if has_span else None,
        "num_flips": int(((found >= threshold) != (expected >= threshold)).sum()),
    }
