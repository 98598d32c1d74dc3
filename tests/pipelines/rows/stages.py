"""The stages of a job, run to their end."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.engines.fake import FakeEngine
from artimuse.pipelines.rows import RowDecoder, RowScorer, ScoreJob
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.table.parts import PARTS
from artimuse.table.plan import num_shard_rows, num_shards

CHUNK = 32

Row = dict[str, Any]


def decoded(job: ScoreJob, shard: int = 0, *, chunk: int = CHUNK) -> list[pa.Table]:
    return list(RowDecoder(job)(shard, np.arange(num_shard_rows(job.output, shard), dtype=np.int32), 1, chunk))


def scored(job: ScoreJob, *, engine: FakeEngine | None = None) -> pa.Table:
    """All rows of the plan, by the job's engine or another one."""
    score = RowScorer(job, "worker-1")
    if engine:
        score.scorer = Scorer(engine, STRATEGIES[job.strategy])
    return pa.concat_tables(
        score(chunk) for shard in range(num_shards(job.output)) for chunk in decoded(job, shard, chunk=CHUNK)
    )


def table(job: ScoreJob) -> list[Row]:
    """What is in the parts, by image_id."""
    parts = [pq.read_table(pa.BufferReader(job.output.read(f"{PARTS}/{name}"))) for name in job.output.names(PARTS)]
    return pa.concat_tables(parts).sort_by("image_id").to_pylist()
