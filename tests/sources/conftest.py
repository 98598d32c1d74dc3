"""What the tests of sources share: a folder that an ordinary user can be kept out of."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Unlike `tmp_path`, one that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="artimuse-test-"))
    folder.chmod(0o755)
    yield folder
    for path in (path for path in folder.rglob("*") if path.is_dir()):
        path.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """File permissions mean nothing to root, so root becomes nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
