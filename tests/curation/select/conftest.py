"""What the tests of select share."""

from pathlib import Path

import pytest

from tests.curation.score_tables import write_table


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A table of 25 images in three shards with the scores 0, 4, 8 ..., of which the last one has failed."""
    rows = [{"score": 4.0 * number, "score_std": 5.0 + number % 2} for number in range(24)]
    write_table(tmp_path / "table", [*rows, {"score": None}])
    return tmp_path
