"""What the tests of sinks share: an output that is a local directory, then an object store."""

from pathlib import Path

import pytest
from artimuse.sinks.parquet import ParquetSink

from artimuse.io.folder import Folder
from tests.table.score_rows import begin_run


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Folder:
    return Folder.at(str(tmp_path / "output") if request.param == "local" else memory_url)


@pytest.fixture
def sink(output: Folder) -> ParquetSink:
    """Of 25 rows in shards of 10."""
    begin_run(output, num_rows=25)
    return ParquetSink(output, 10)
