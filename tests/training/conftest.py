"""What the tests of training share: a table, and runs that others are compared with."""

from pathlib import Path

import pytest
import torch

from tests.training.small import EPOCHS, score_stage, train
from tests.training.tables import make_table


@pytest.fixture(autouse=True, scope="session")
def quick_ray():
    """Ray Train looks at its workers every two seconds otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        yield


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """As many as a worker has: more only get in each other's way on small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> str:
    return str(make_table(tmp_path_factory.mktemp("table")))


@pytest.fixture(scope="session")
def alone(table, tmp_path_factory) -> Path:
    """The undisturbed run in this process, 18 steps."""
    output = tmp_path_factory.mktemp("alone") / "out"
    train(score_stage(table, output, epochs=EPOCHS))
    return output


@pytest.fixture(scope="session")
def undisturbed(ray_cluster, table, tmp_path_factory) -> Path:
    """The same with two workers on Ray."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    train(score_stage(table, output, epochs=EPOCHS, workers="2"))
    return output
