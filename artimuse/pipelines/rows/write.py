"""Score-table rows to parts and receipts."""

import time
from collections import Counter

import numpy as np
import pyarrow as pa

from artimuse.pipelines.rows.job import BEGAN_AT, DECODE_S, FETCH_S, SCORE_S, TEXT_PROBLEM, WORKER, ScoreJob
from artimuse.pipelines.rows.receipt import Receipt
from artimuse.table.parts import write_rows


class RowWriter:
    """Writes score-table rows: a part per plan shard, rows that replace others apart."""

    def __init__(self, job: ScoreJob) -> None:
        self.job = job

    def __call__(self, rows: pa.Table) -> list[Receipt]:
        """One receipt per part."""
        is_retry = rows["attempt"].to_numpy() > 1
        replaces = np.full(len(rows), True) if self.job.rows_exist else is_retry
        kinds = np.stack([rows["row_number"].to_numpy() // self.job.rows_per_shard, replaces])
        return [
            self._write(int(kind[0]), bool(kind[1]), rows.filter(pa.array((kinds == kind[:, None]).all(axis=0))))
            for kind in np.unique(kinds, axis=1).T
        ]

    def _write(self, shard: int, replaces: bool, rows: pa.Table) -> Receipt:
        start = time.perf_counter()
        schema = self.job.schema
        part = write_rows(
            self.job.output,
            rows.select(schema.names).cast(schema),
            rows_per_shard=self.job.rows_per_shard,
            replaces=replaces,
        )
        return Receipt(
            part=part,
            shard=shard,
            num_rows=len(rows),
            replaces=replaces,
            num_failed=len(rows) - rows["error_code"].null_count,
            num_described=len(rows) - rows["texts_truncated"].null_count,
            text_problems=Counter(rows[TEXT_PROBLEM].drop_null().to_pylist()),
            began_at=min(rows[BEGAN_AT].to_pylist()),
            workers=Counter(rows[WORKER].to_pylist()),
            fetch_s=_total(rows, FETCH_S),
            decode_s=_total(rows, DECODE_S),
            score_s=_total(rows, SCORE_S),
            write_s=time.perf_counter() - start,
        )


def _total(rows: pa.Table, column: str) -> float:
    return float(rows[column].to_numpy().sum())
