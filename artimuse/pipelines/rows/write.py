"""Score-table rows to parts and receipts."""

import json
import time
from collections import Counter

import numpy as np
import pyarrow as pa

from artimuse.pipelines.rows.job import BEGAN_AT, DECODE_S, FETCH_S, SCORE_S, WORKER, ScoreJob
from artimuse.sinks.parquet import ParquetSink


class RowWriter:
    """Writes score-table rows through the sink: a part per plan shard, first attempts and later ones apart."""

    def __init__(self, job: ScoreJob) -> None:
        self.sink = ParquetSink(job.output, job.rows_per_shard)
        self.schema = job.schema
        self.rows_per_shard = job.rows_per_shard

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One receipt per part, as a table: Ray carries tables."""
        kinds = np.stack([rows["row_number"].to_numpy() // self.rows_per_shard, rows["attempt"].to_numpy() > 1])
        return pa.Table.from_pylist(
            [
                self._write(int(kind[0]), rows.filter(pa.array((kinds == kind[:, None]).all(axis=0))))
                for kind in np.unique(kinds, axis=1).T
            ]
        )

    def _write(self, shard: int, rows: pa.Table) -> dict[str, int | float | str]:
        start = time.perf_counter()
        receipt = self.sink.write(rows.select(self.schema.names).cast(self.schema))
        failed = rows["error_code"].drop_null().to_pylist()
        return {
            "part": receipt.part,
            "shard": shard,
            "num_rows": receipt.num_rows,
            "num_retried": int((rows["attempt"].to_numpy() > 1).sum()),
            "num_failed": len(failed),
            "began_at": min(rows[BEGAN_AT].to_pylist()),
            "workers": json.dumps(Counter(rows[WORKER].to_pylist())),
            "fetch_s": _total(rows, FETCH_S),
            "decode_s": _total(rows, DECODE_S),
            "score_s": _total(rows, SCORE_S),
            "write_s": time.perf_counter() - start,
        }


def _total(rows: pa.Table, column: str) -> float:
    return float(rows[column].to_numpy().sum())
