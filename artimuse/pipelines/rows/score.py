"""Rows with pixels to score-table rows."""

# B images, H and W pixels, C = 3 channels, K score values
import logging
import time

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.engines import open_engine
from artimuse.errors import BadInput, EngineFailed, OutOfMemory
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.interfaces import BoolArray, Engine, PixelArray, ScoreDistribution
from artimuse.pipelines.rows.decode import pixels_of
from artimuse.pipelines.rows.job import BEGAN_AT, DECODE_S, FETCH_S, PIXELS, SCORE_S, WORKER, ScoreJob
from artimuse.pipelines.rows.texts import TextColumns
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.table.condition import WITHOUT_TEXTS, Condition
from artimuse.table.schema import SCORE_COLUMNS

logger = logging.getLogger(__name__)

_PLAIN_GREY = np.full((1, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), 128, dtype=np.uint8)


class RowScorer:
    """Scores decoded rows, and describes those that are to have texts; an image that fails becomes a failed row."""

    def __init__(self, job: ScoreJob, worker: str, engine: Engine | None = None) -> None:
        """Loads the job's engine, unless it is given."""
        self.schema = job.schema
        self.texts = job.texts
        self.worker = worker
        self.scorer = Scorer(engine or open_engine(job.engine), STRATEGIES[job.strategy])
        self.condition = Condition(job.texts.where, job.schema, among=WITHOUT_TEXTS) if job.texts else None

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score-table rows, with the columns that `RowWriter` turns into receipts behind them.

        Raises EngineFailed if the network fails on every image and on a plain grey one too, or if it says so itself:
        then it is to blame, and no row should be blamed.
        """
        start = time.perf_counter()
        readable_B = rows["error_code"].is_null().to_numpy()
        batch = _Batch(rows.drop_columns(PIXELS), len(self.scorer.strategy.values_K), self.schema)
        if readable_B.any():
            pixels_BHWC = pixels_of(rows)
            # Choosing copies, and most batches have nothing to leave out.
            readable_BHWC = pixels_BHWC if readable_B.all() else pixels_BHWC[readable_B]
            self._look(readable_BHWC, np.flatnonzero(readable_B), batch)
        table = batch.texts.add_to(batch.table(), self.texts)
        for name in (BEGAN_AT, FETCH_S, DECODE_S):
            table = table.append_column(name, rows[name])
        seconds = (time.perf_counter() - start) / len(rows)
        return table.append_column(SCORE_S, pa.array(np.full(len(rows), seconds))).append_column(
            WORKER, pa.array([self.worker] * len(rows), pa.string())
        )

    def _look(self, pixels_BHWC: PixelArray, indices: npt.NDArray[np.int64], batch: "_Batch") -> None:
        """`indices` are the positions of these pixels in the batch. Raises BadInput if the condition fails on a row."""
        try:
            self._ask(pixels_BHWC, indices, batch)
        except BadInput:
            raise
        except Exception as error:  # noqa: BLE001 - row boundary
            logger.warning("batch failed, its images are tried one by one error=%s", error)
            for i, index in enumerate(indices):
                try:
                    self._ask(pixels_BHWC[i : i + 1], indices[i : i + 1], batch)
                except OutOfMemory as row_error:
                    batch.fail(int(index), "out_of_memory", str(row_error))
                except EngineFailed:
                    raise
                except Exception as row_error:  # noqa: BLE001 - row boundary
                    batch.fail(int(index), "model_error", f"{type(row_error).__name__}: {row_error}")
                    batch.broken.add(int(index))
        if len(batch.broken) == len(indices):
            self._refuse_broken_engine()

    def _ask(self, pixels_BHWC: PixelArray, indices: npt.NDArray[np.int64], batch: "_Batch") -> None:
        with self.scorer.engine.open(pixels_BHWC) as images:
            batch.store(indices, self.scorer.strategy.ask(images))
            if self.texts and self.condition:
                wanted = np.isin(batch.row_numbers[indices], self.condition.select(batch.table()))
                batch.texts.ask(self.texts, images, wanted, indices.tolist())

    def _refuse_broken_engine(self) -> None:
        try:
            score = self.scorer.score_pixels(_PLAIN_GREY).mean_B[0]
        except Exception as error:  # whatever the engine raises
            raise EngineFailed(f"the engine fails on every image: {type(error).__name__}: {error}") from error
        if not np.isfinite(score):
            raise EngineFailed(
                "the network's answer is not a finite number for any image:"
                " its weights are damaged, or too large for this --dtype"
            )


class _Batch:
    """The rows of a batch with their score and text columns, filled in as images succeed."""

    def __init__(self, rows: pa.Table, num_values: int, schema: pa.Schema) -> None:
        num_rows = len(rows)
        self.rows = rows
        self.schema = schema
        self.row_numbers = rows["row_number"].to_numpy()
        self.mean_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.std_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.entropy_B = np.full(num_rows, np.nan, dtype=np.float32)
        self.probs_BK = np.zeros((num_rows, num_values), dtype=np.float16)
        self.errors: dict[int, tuple[str, str]] = {}
        """Code and message of images that the network did not score."""
        self.broken: set[int] = set()
        """Images on which the network itself failed."""
        self.texts = TextColumns(num_rows)

    def store(self, indices: npt.NDArray[np.int64], scores: ScoreDistribution) -> None:
        """Replaces the scores and errors of an earlier attempt at these images."""
        for index in indices.tolist():
            self.errors.pop(index, None)
            self.broken.discard(index)
        self.mean_B[indices] = scores.mean_B
        self.std_B[indices] = scores.std_B
        self.entropy_B[indices] = scores.entropy_B
        if scores.probs_BK is not None:
            self.probs_BK[indices] = scores.probs_BK
        for i in np.flatnonzero(~np.isfinite(scores.mean_B)):
            problem = scores.problems_B[i] if scores.problems_B else None
            if problem is None:
                self.broken.add(int(indices[i]))
            self.fail(int(indices[i]), "model_error", problem or "the network's answer is not a finite number")

    def fail(self, index: int, code: str, message: str) -> None:
        """A row that has its score keeps it: then its texts have failed."""
        if np.isfinite(self.mean_B[index]):
            self.texts.fail(index, code)
            logger.warning("an image could not be described error=%s", message)
        else:
            self.mean_B[index] = np.nan
            self.errors[index] = code, message

    def table(self) -> pa.Table:
        """Score-table rows as far as they are known."""
        rows = self._with_scores()
        return pa.table({name: _column(rows, name, self.schema) for name in self.schema.names}, self.schema)

    def _with_scores(self) -> pa.Table:
        codes, messages = self.rows["error_code"].to_pylist(), self.rows["error"].to_pylist()
        for index, (code, message) in self.errors.items():
            codes[index], messages[index] = code, message
        failed_B: BoolArray = np.isnan(self.mean_B)
        columns = {
            "error_code": pa.array(codes, pa.string()),
            "error": pa.array(messages, pa.string()),
            "status": pa.array(np.where(failed_B, "failed", "ok")),
            "score": pa.array(self.mean_B, mask=failed_B),
            "score_std": pa.array(self.std_B, mask=failed_B | np.isnan(self.std_B)),
            "score_entropy": pa.array(self.entropy_B, mask=failed_B | np.isnan(self.entropy_B)),
            "score_probs": self._probs(failed_B),
        }
        rows = self.rows.drop_columns(["error_code", "error"])
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        return rows

    def _probs(self, failed_B: BoolArray) -> pa.Array:
        num_rows, num_values = self.probs_BK.shape
        if num_values == 0:
            return pa.nulls(num_rows, pa.list_(pa.float16()))
        offsets = np.arange(0, (num_rows + 1) * num_values, num_values, dtype=np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(self.probs_BK.ravel()), mask=pa.array(failed_B))


def _column(rows: pa.Table, name: str, schema: pa.Schema) -> pa.Array | pa.ChunkedArray:
    """A column of the score table; those that this run does not make are null."""
    if name in rows.column_names:
        return rows[name]
    assert name in SCORE_COLUMNS, name
    return pa.nulls(len(rows), schema.field(name).type)
