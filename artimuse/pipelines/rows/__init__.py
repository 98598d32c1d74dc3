"""What happens to rows on their way: plain Python over Arrow tables, without Ray.

plan rows -> `RowDecoder` -> rows with pixels -> `RowScorer` -> score-table rows -> `RowWriter` -> receipts.
For rows that are in the table and get their texts later, `RowDescriber` stands in place of `RowScorer`.
Each class is made once per worker process from one `ScoreJob`, and is the whole logic of one Ray stage.
"""

from artimuse.interfaces import Engine
from artimuse.pipelines.rows.decode import ROWS_PER_PIXEL_BLOCK, RowDecoder, pixels_of
from artimuse.pipelines.rows.describe import RowDescriber
from artimuse.pipelines.rows.job import ScoreJob, TextJob, refuse_blind_node
from artimuse.pipelines.rows.receipt import Receipt
from artimuse.pipelines.rows.score import RowScorer
from artimuse.pipelines.rows.write import RowWriter

__all__ = [
    "ROWS_PER_PIXEL_BLOCK",
    "Receipt",
    "RowDecoder",
    "RowDescriber",
    "RowScorer",
    "RowWriter",
    "ScoreJob",
    "TextJob",
    "open_scorer",
    "pixels_of",
    "refuse_blind_node",
]


def open_scorer(job: ScoreJob, worker: str, engine: Engine | None = None) -> RowScorer | RowDescriber:
    """What the job wants of decoded rows, by its engine. `worker` is the node that the rows are counted for."""
    return (RowDescriber if job.rows_exist else RowScorer)(job, worker, engine)
