"""What tests share: reference data beside the repository, an in-memory store, and one Ray cluster for the session."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

if shutil.which("nvidia-smi") is None:
    # Triton reads this when it is imported: its interpreter runs the kernels where there is no GPU.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with reference fixtures made by the official code."""
    location = os.environ.get("ARTIMUSE_TEST_DATA")
    if not location:
        pytest.skip("ARTIMUSE_TEST_DATA is not set: the official reference fixtures are not here")
    return Path(location)


@pytest.fixture
def memory_url() -> Iterator[str]:
    """An empty folder in fsspec's in-memory store, which stands for an object store."""
    url = f"memory://{uuid4().hex}"
    yield url
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(url):
        filesystem.rm(url, recursive=True)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Unlike `tmp_path`, one that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="artimuse-test-"))
    folder.chmod(0o755)
    yield folder
    for path in (path for path in folder.rglob("*") if path.is_dir()):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One small local cluster. More logical CPUs than cores: actors take fractions and nothing waits for a CPU."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=200 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    yield
    ray.shutdown()
