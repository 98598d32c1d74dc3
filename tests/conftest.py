"""What tests share: the reference data beside the repository, and one Ray cluster for the whole session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with reference fixtures made by the official code."""
    place = os.environ.get("ARTIMUSE_TEST_DATA")
    if not place:
        pytest.skip("ARTIMUSE_TEST_DATA is not set: the official reference fixtures are not here")
    return Path(place)


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
