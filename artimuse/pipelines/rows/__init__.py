"""What happens to rows on their way through the graph: plain Python over Arrow tables, without Ray.

plan rows -> `RowDecoder` -> rows with pixels -> `RowScorer` -> score-table rows -> `RowWriter` -> receipts.
Each class is made once per worker process from one `ScoreJob`, and is the whole logic of one Ray stage.
"""

from artimuse.pipelines.rows.decode import ROWS_PER_PIXEL_BLOCK, RowDecoder
from artimuse.pipelines.rows.job import ScoreJob, refuse_blind_node
from artimuse.pipelines.rows.score import RowScorer
from artimuse.pipelines.rows.write import RowWriter

__all__ = ["ROWS_PER_PIXEL_BLOCK", "RowDecoder", "RowScorer", "RowWriter", "ScoreJob", "refuse_blind_node"]
