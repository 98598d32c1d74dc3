from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The directory of a manifest."""
    return tmp_path
