"""What happens to rows on their way through the graph: plain Python over Arrow tables, without Ray.

plan rows -> `RowDecoder` -> rows with pixels -> `RowScorer` -> score-table rows -> `RowWriter` -> receipts.
For rows that are in the table and get their texts later, `RowDescriber` stands in place of `RowScorer`.
Each class is made once per worker process from one `ScoreJob`, and is the whole logic of one Ray stage.
"""

from artimuse.pipelines.rows.condition import EVERY_ROW, WITHOUT_TEXTS, Condition
from artimuse.pipelines.rows.decode import ROWS_PER_PIXEL_BLOCK, RowDecoder, pixels_of
from artimuse.pipelines.rows.describe import RowDescriber
from artimuse.pipelines.rows.job import ScoreJob, TextJob, refuse_blind_node
from artimuse.pipelines.rows.score import RowScorer
from artimuse.pipelines.rows.write import RowWriter

__all__ = [
    "EVERY_ROW",
    "ROWS_PER_PIXEL_BLOCK",
    "WITHOUT_TEXTS",
    "Condition",
    "RowDecoder",
    "RowDescriber",
    "RowScorer",
    "RowWriter",
    "ScoreJob",
    "TextJob",
    "pixels_of",
    "refuse_blind_node",
]
