"""What happens to rows on their way through the graph: plain Python over Arrow tables, without Ray.

plan rows -> `RowDecoder` -> rows with pixels -> `RowScorer` -> score-table rows -> `RowWriter` -> receipts.
Each class is made once per worker process from one `ScoreJob`, and is the whole logic of one Ray stage.
"""

# B images, H and W pixels, C = 3 channels, K score values
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.configs import DecodeLimits, EngineConfig
from artimuse.engines import open_engine
from artimuse.errors import ClusterProblem, RowError
from artimuse.images import (
    IMAGE_SIZE_PX,
    DecodedImage,
    decode,
    leave_limits_to_decode,
    phash,
)
from artimuse.interfaces import BoolArray, PixelArray, ScoreDistribution
from artimuse.schema import SCORE_COLUMNS, score_schema
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.sinks.parquet import ParquetSink
from artimuse.sources.fetch import fetch
from artimuse.sources.plan import read_plan_rows
from artimuse.storage import Folder

logger = logging.getLogger(__name__)

# 128 rows of pixels are 77 MB: under Ray's 128 MiB block, and small enough for several in flight.
ROWS_PER_PIXEL_BLOCK = 128

_PIXELS = pa.binary(IMAGE_SIZE_PX * IMAGE_SIZE_PX * 3)
# Columns between stages that are not in the score table; `RowWriter` turns them into receipts.
_SECONDS = ("fetch_s", "decode_s", "score_s")
_WORKER = "worker"
_BEGAN_AT = "began_at"


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """Everything a worker needs to know of a run."""

    output: Folder
    rows_per_shard: int
    engine: EngineConfig
    strategy: str
    limits: DecodeLimits
    carried: pa.Schema
    witness_uris: tuple[str, ...]
    """Images that the driver could read: a node that can read none of them lacks INPUT."""

    @property
    def schema(self) -> pa.Schema:
        return score_schema(STRATEGIES[self.strategy].values_K, self.carried)


class RowDecoder:
    """Fetches and decodes the rows of one unit of work; a bad file becomes a failed row."""

    def __init__(self, job: ScoreJob) -> None:
        """Raises ClusterProblem on a node that does not see the images: its rows must not become failures."""
        leave_limits_to_decode()
        refuse_blind_node(job)
        self.job = job

    def __call__(self, shard: int, offsets: npt.NDArray[np.int32], chunk: int) -> Iterator[pa.Table]:
        """Yields tables of at most `chunk` rows: the plan's columns, facts of the file, and `pixels`."""
        rows = read_plan_rows(self.job.output, shard, offsets)
        for start in range(0, len(rows), chunk):
            yield self._decode(rows.slice(start, chunk))

    def _decode(self, rows: pa.Table) -> pa.Table:
        began_at = pa.array([time.time()] * len(rows))
        pixels_BHWC = np.zeros((len(rows), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)
        facts = []
        for i, uri in enumerate(rows["uri"].to_pylist()):
            fact, pixels_HWC = _look_at(uri, self.job.limits)
            facts.append(fact)
            if pixels_HWC is not None:
                pixels_BHWC[i] = pixels_HWC
        table = rows
        for field in _FACTS:
            table = table.append_column(field, pa.array([fact[field.name] for fact in facts], field.type))
        table = table.append_column(_BEGAN_AT, began_at)
        buffers = [None, pa.py_buffer(pixels_BHWC)]
        return table.append_column("pixels", pa.Array.from_buffers(_PIXELS, len(rows), buffers))


class RowScorer:
    """Scores decoded rows; an image on which the network fails becomes a failed row."""

    def __init__(self, job: ScoreJob, worker: str) -> None:
        self.schema = job.schema
        self.worker = worker
        self.scorer = Scorer(open_engine(job.engine), STRATEGIES[job.strategy])

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score-table rows, with the columns that `RowWriter` turns into receipts behind them."""
        start = time.perf_counter()
        rows = rows.combine_chunks()
        readable_B = rows["error_code"].is_null().to_numpy()
        scores = _RowScores(len(rows), len(self.scorer.strategy.values_K))
        if readable_B.any():
            self._score(_pixels(rows), np.flatnonzero(readable_B), scores)
        rows = scores.add_to(rows.drop_columns("pixels"))
        seconds = (time.perf_counter() - start) / len(rows)
        table = pa.table({name: _column(rows, name, self.schema) for name in self.schema.names}, self.schema)
        return (
            table.append_column(_BEGAN_AT, rows[_BEGAN_AT])
            .append_column("fetch_s", rows["fetch_s"])
            .append_column("decode_s", rows["decode_s"])
            .append_column("score_s", pa.array(np.full(len(rows), seconds)))
            .append_column(_WORKER, pa.array([self.worker] * len(rows), pa.string()))
        )

    def _score(self, pixels_BHWC: PixelArray, indices: npt.NDArray[np.int64], scores: "_RowScores") -> None:
        try:
            scores.store(indices, self.scorer.score_pixels(pixels_BHWC[indices]))
        except Exception as error:
            logger.warning("batch failed, its images are scored one by one error=%s", error)
            failures = 0
            for index in indices:
                try:
                    scores.store(np.array([index]), self.scorer.score_pixels(pixels_BHWC[[index]]))
                except Exception as row_error:  # noqa: BLE001 - row boundary
                    failures += 1
                    scores.fail(int(index), f"{type(row_error).__name__}: {row_error}")
            # One image is the image's fault; all of them is the engine's, and no row should carry the blame.
            if failures == len(indices) > 1:
                raise


class RowWriter:
    """Writes score-table rows through the sink, a part per plan shard."""

    def __init__(self, job: ScoreJob) -> None:
        self.sink = ParquetSink(job.output, job.rows_per_shard)
        self.schema = job.schema
        self.rows_per_shard = job.rows_per_shard

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One receipt per part, as a table: Ray carries tables."""
        shards = rows["row_number"].to_numpy() // self.rows_per_shard
        return pa.Table.from_pylist([self._write(rows.filter(pa.array(shards == s))) for s in np.unique(shards)])

    def _write(self, rows: pa.Table) -> dict[str, int | float | str]:
        start = time.perf_counter()
        receipt = self.sink.write(rows.select(self.schema.names).cast(self.schema))
        failed = rows["error_code"].drop_null().to_pylist()
        return {
            "part": receipt.part,
            "num_rows": receipt.num_rows,
            "num_failed": len(failed),
            "began_at": min(rows[_BEGAN_AT].to_pylist()),
            "workers": json.dumps(Counter(rows[_WORKER].to_pylist())),
            **{name: float(rows[name].to_numpy().sum()) for name in _SECONDS},
            "write_s": time.perf_counter() - start,
        }


def refuse_blind_node(job: ScoreJob) -> None:
    """Raises ClusterProblem if none of the images that the driver could read can be read here."""
    errors = [fetch(uri, job.limits) for uri in job.witness_uris]
    if errors and all(isinstance(error, RowError) for error in errors):
        raise ClusterProblem(f"INPUT is not visible here: cannot read {job.witness_uris[0]}")


_FACTS = (
    pa.field("error_code", pa.string()),
    pa.field("error", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("sha256", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("format", pa.string()),
    pa.field("phash", pa.uint64()),
    pa.field("fetch_s", pa.float64()),
    pa.field("decode_s", pa.float64()),
)


def _look_at(uri: str, limits: DecodeLimits) -> tuple[dict[str, object], PixelArray | None]:
    """What a file is, and its pixels unless it is bad."""
    fact: dict[str, object] = dict.fromkeys(field.name for field in _FACTS)
    start = time.perf_counter()
    data = fetch(uri, limits)
    fetched = time.perf_counter()
    image: DecodedImage | RowError = data if isinstance(data, RowError) else decode(data, limits)
    if not isinstance(data, RowError):
        fact |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    pixels_HWC = None
    if isinstance(image, RowError):
        fact |= {"error_code": image.code, "error": image.message}
    else:
        pixels_HWC = image.pixels_HWC
        fact |= {"width": image.width, "height": image.height, "format": image.format}
        fact |= {"phash": phash(pixels_HWC)}
    fact |= {"fetch_s": fetched - start, "decode_s": time.perf_counter() - fetched}
    return fact, pixels_HWC


def _pixels(rows: pa.Table) -> PixelArray:
    """The pixel column as an array (B, H, W, C) over the same memory."""
    column = rows["pixels"].chunk(0)
    flat = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    width = column.type.byte_width
    flat = flat[column.offset * width : (column.offset + len(column)) * width]
    return flat.reshape(len(column), IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)


class _RowScores:
    """The score columns of a batch, filled in as images succeed."""

    def __init__(self, num_rows: int, num_values: int) -> None:
        self.mean_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.std_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.entropy_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.probs_BK = np.zeros((num_rows, num_values), dtype=np.float16)
        self.errors: dict[int, str] = {}

    def store(self, indices: npt.NDArray[np.int64], scores: ScoreDistribution) -> None:
        self.mean_B[indices] = scores.mean_B
        self.std_B[indices] = scores.std_B
        self.entropy_B[indices] = scores.entropy_B
        if scores.probs_BK is not None:
            self.probs_BK[indices] = scores.probs_BK
        for index in indices[~np.isfinite(scores.mean_B)]:
            self.fail(int(index), "the network's answer is not a finite number")

    def fail(self, index: int, message: str) -> None:
        self.mean_B[index] = np.nan
        self.errors[index] = message

    def add_to(self, rows: pa.Table) -> pa.Table:
        codes, messages = rows["error_code"].to_pylist(), rows["error"].to_pylist()
        for index, message in self.errors.items():
            codes[index], messages[index] = "model_error", message
        failed_B: BoolArray = np.isnan(self.mean_B)
        num_rows, num_values = self.probs_BK.shape
        offsets = np.arange(0, (num_rows + 1) * num_values, num_values, dtype=np.int32)
        columns = {
            "error_code": pa.array(codes, pa.string()),
            "error": pa.array(messages, pa.string()),
            "status": pa.array(np.where(failed_B, "failed", "ok")),
            "score": pa.array(self.mean_B, mask=failed_B),
            "score_std": pa.array(self.std_B, mask=failed_B),
            "score_entropy": pa.array(self.entropy_B, mask=failed_B),
            "score_probs": pa.ListArray.from_arrays(offsets, pa.array(self.probs_BK.ravel()), mask=pa.array(failed_B)),
            "attempt": pa.array(np.ones(num_rows, dtype=np.int8)),
        }
        rows = rows.drop_columns(["error_code", "error"])
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        return rows


def _column(rows: pa.Table, name: str, schema: pa.Schema) -> pa.Array | pa.ChunkedArray:
    """A column of the score table; those that this run does not make are null."""
    if name in rows.column_names:
        return rows[name]
    assert name in SCORE_COLUMNS, name
    return pa.nulls(len(rows), schema.field(name).type)
