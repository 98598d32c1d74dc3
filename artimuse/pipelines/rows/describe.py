"""Texts for rows that are in the table already: decoded again, described, their scores left as they are."""

# B images
import logging
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artimuse.engines import open_engine
from artimuse.errors import BadOutput, EngineFailed, OutOfMemory
from artimuse.interfaces import BoolArray, Engine
from artimuse.pipelines.rows.decode import pixels_of
from artimuse.pipelines.rows.job import BEGAN_AT, DECODE_S, FETCH_S, SCORE_S, WORKER, ScoreJob, TextJob
from artimuse.pipelines.rows.texts import TextColumns
from artimuse.table.parts import PARTS, RowNumbers, read_part, shard_parts

logger = logging.getLogger(__name__)

CHANGED = "changed"
"""The file is not the one that was scored."""


class RowDescriber:
    """Describes decoded rows; an image that cannot be described keeps its row as it is."""

    def __init__(self, job: ScoreJob, worker: str, engine: Engine | None = None) -> None:
        """Loads the job's engine, unless it is given."""
        assert job.texts is not None
        self.texts: TextJob = job.texts
        self.job = job
        self.worker = worker
        self.engine = engine or open_engine(job.engine)
        self._tables: dict[int, pa.Table] = {}
        """The rows of the shards of the last batch."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score-table rows, with the columns that `RowWriter` turns into receipts behind them.

        Raises EngineFailed if the engine says that it is to blame.
        """
        start = time.perf_counter()
        table = self._rows_there(rows["row_number"].to_numpy())
        texts = TextColumns(len(rows))
        self._describe(rows, self._is_usable(rows, table, texts), texts)
        table = texts.add_to(table, self.texts)
        for name in (BEGAN_AT, FETCH_S, DECODE_S):
            table = table.append_column(name, rows[name])
        seconds = np.full(len(rows), (time.perf_counter() - start) / len(rows))
        worker = pa.array([self.worker] * len(rows), pa.string())
        return table.append_column(SCORE_S, pa.array(seconds)).append_column(WORKER, worker)

    def _is_usable(self, rows: pa.Table, table: pa.Table, texts: TextColumns) -> BoolArray:
        """Which files could be read, and are those that were scored."""
        codes = rows["error_code"].to_pylist()
        is_same_B = pc.fill_null(pc.equal(rows["sha256"], table["sha256"]), False).to_numpy()
        for index, (code, is_same) in enumerate(zip(codes, is_same_B)):
            if code is not None or not is_same:
                texts.fail(index, code or CHANGED)
        is_usable_B: BoolArray = np.array([code is None for code in codes]) & is_same_B
        return is_usable_B

    def _describe(self, rows: pa.Table, is_usable_B: BoolArray, texts: TextColumns) -> None:
        indices = np.flatnonzero(is_usable_B)
        pixels_BHWC = pixels_of(rows)[indices]
        try:
            with self.engine.open(pixels_BHWC) as images:
                texts.ask(self.texts, images, np.ones(len(indices), dtype=np.bool_), indices.tolist())
        except Exception as error:  # noqa: BLE001 - row boundary
            logger.warning("batch failed, its images are described one by one error=%s", error)
            for i, index in enumerate(indices):
                try:
                    with self.engine.open(pixels_BHWC[i : i + 1]) as images:
                        texts.ask(self.texts, images, np.ones(1, dtype=np.bool_), [int(index)])
                except OutOfMemory:
                    texts.fail(int(index), "out_of_memory")
                except EngineFailed:
                    raise
                except Exception as row_error:  # noqa: BLE001 - row boundary
                    logger.warning("an image could not be described error=%s", row_error)
                    texts.fail(int(index), "model_error")

    def _rows_there(self, numbers: RowNumbers) -> pa.Table:
        """The score-table rows of these numbers, in their order."""
        shards = set((numbers // self.job.rows_per_shard).tolist())
        # Batches follow the plan: what is behind is not needed again.
        self._tables = {shard: table for shard, table in self._tables.items() if shard in shards}
        rows, indices = self._find(shards, numbers)
        if indices.null_count:
            # The shard was compacted meanwhile.
            self._tables = {}
            rows, indices = self._find(shards, numbers)
        if indices.null_count:
            raise BadOutput(f"{self.job.output.url(PARTS)}: rows that were there are gone")
        return rows.take(indices)

    def _find(self, shards: set[int], numbers: RowNumbers) -> tuple[pa.Table, pa.Array]:
        """All rows of the shards, and where in them those of the numbers are; null if they are not there."""
        for shard in shards - self._tables.keys():
            self._tables[shard] = self._read_shard(shard)
        rows = pa.concat_tables([self._tables[shard] for shard in sorted(shards)])
        return rows, pc.index_in(pa.array(numbers), rows["row_number"].combine_chunks())

    def _read_shard(self, shard: int) -> pa.Table:
        parts = [read_part(self.job.output, PARTS, name) for name in shard_parts(self.job.output, PARTS, shard)]
        tables = [part.select(self.job.schema.names).cast(self.job.schema) for part in parts if part is not None]
        return pa.concat_tables(tables) if tables else self.job.schema.empty_table()
