"""A training run whose table, pictures and OUTPUT are on an S3 server.

One test needs Ray: its workers and its export have S3 clients of their own.
"""

import json

import pytest

from artimuse.errors import Interrupted
from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.training.checkpoint import Checkpoints
from tests.s3.server import BUCKET, Server, connect
from tests.s3.test_runs import start
from tests.training.small import asked_to_stop_after, command, score_stage, train
from tests.training.tables import make_table

pytestmark = pytest.mark.timeout(480)

SHORT = {"batch_size": 4, "epochs": 4}
"""20 steps."""


@pytest.fixture(scope="module")
def table(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("table")
    make_table(folder)
    server.put({f"train/{path.name}": path.read_bytes() for path in folder.iterdir()})
    return f"s3://{BUCKET}/train/table.parquet"


def assert_is_trained(output: str) -> None:
    spec = read_spec(find_checkpoint(f"{output}/model"))
    assert spec.config.text_config.hidden_size == read_spec(find_checkpoint("nano")).config.text_config.hidden_size
    assert Folder.at(output).names("tensorboard")


@pytest.mark.long
def test_a_run_on_an_object_store_is_stopped_and_goes_on_from_there(server: Server, table: str, monkeypatch):
    connect(monkeypatch, server.url, server.owner)
    output = f"s3://{BUCKET}/trained"
    config = score_stage(table, output, **SHORT)
    with asked_to_stop_after(5), pytest.raises(Interrupted):
        train(config)
    assert Checkpoints(Folder.at(output)).latest().state.step == 5
    assert train(config).num_new_steps == 15
    assert_is_trained(output)


@pytest.mark.ray
@pytest.mark.long
def test_workers_on_ray_are_stopped_and_go_on_as_well(server: Server, table: str, monkeypatch):
    output = f"s3://{BUCKET}/trained-by-workers"
    arguments = [*command(table, output, workers="auto", **SHORT)[3:], "--json"]
    first = start(*arguments, url=server.url, keys=server.owner)
    for line in first.stderr:
        if "training" in line:
            first.terminate()
            break
    rest = first.communicate()[1]
    assert first.returncode == 4, rest
    connect(monkeypatch, server.url, server.owner)
    num_done = Checkpoints(Folder.at(output)).latest().state.step
    assert 0 < num_done < 20
    second = start(*arguments, url=server.url, keys=server.owner)
    report, said = second.communicate()
    assert second.returncode == 0, said
    assert json.loads(report)["num_new_steps"] == 20 - num_done
    assert_is_trained(output)
