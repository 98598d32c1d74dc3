"""What the tests of the table share: an output that is a local directory, then an object store."""

from pathlib import Path

import pytest

from artimuse.io.folder import Folder
from tests.table.score_rows import SmallTable, begin_run


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Folder:
    return Folder.at(str(tmp_path / "output") if request.param == "local" else memory_url)


@pytest.fixture
def table(output: Folder) -> SmallTable:
    """Of 25 rows in shards of 10: 0..9, 10..19 and 20..24."""
    begin_run(output, num_rows=25)
    return SmallTable(output)
