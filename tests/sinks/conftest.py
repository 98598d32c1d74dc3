"""What the tests of sinks share: an output that is a local directory, then an object store."""

from pathlib import Path

import pytest

from artimuse.storage import Folder


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Folder:
    return Folder.at(str(tmp_path / "output") if request.param == "local" else memory_url)
