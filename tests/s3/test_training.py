"""A training run whose table, pictures and OUTPUT are on an S3 server."""

import json

import pytest

from artimuse.io.folder import Folder
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.training.checkpoint import Checkpoints
from tests.s3.server import BUCKET, Server, connect
from tests.s3.test_runs import start
from tests.training.tables import make_table

pytestmark = [pytest.mark.ray, pytest.mark.timeout(480)]


def test_a_run_on_an_object_store_is_stopped_and_goes_on_from_there(server: Server, tmp_path, monkeypatch):
    make_table(tmp_path)
    server.put({f"train/{path.name}": path.read_bytes() for path in tmp_path.iterdir()})
    output = f"s3://{BUCKET}/trained"
    arguments = ("train", f"s3://{BUCKET}/train/table.parquet", output, "--preset", "paper_score_finetune")
    small = (
        "--base",
        "nano",
        "--batch-size",
        "4",
        "--lora-rank",
        "4",
        "--checkpoint-steps",
        "3",
        "--epochs",
        "4",
        "--json",
    )
    first = start(*arguments, *small, url=server.url, keys=server.owner)
    for line in first.stderr:
        if "training" in line:
            first.terminate()
            break
    rest = first.communicate()[1]
    assert first.returncode == 4, rest
    connect(monkeypatch, server.url, server.owner)
    num_done = Checkpoints(Folder.at(output)).latest().state.step
    assert 0 < num_done < 20
    second = start(*arguments, *small, url=server.url, keys=server.owner)
    report, said = second.communicate()
    assert second.returncode == 0, said
    assert json.loads(report)["num_new_steps"] == 20 - num_done
    spec = read_spec(find_checkpoint(f"{output}/model"))
    assert spec.config.text_config.hidden_size == read_spec(find_checkpoint("nano")).config.text_config.hidden_size
    assert Folder.at(output).names("tensorboard")
