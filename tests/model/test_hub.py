"""In processes of their own: huggingface_hub reads its endpoint and its cache once, when it is imported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model.checkpoints import change_config, write_native
from tests.model.hub_server import commit_of, serve_hub

SCRIPT = """
import json, sys
from artimuse.errors import BadCheckpoint
from artimuse.model.find import find_checkpoint
try:
    found = find_checkpoint(sys.argv[1])
    print(json.dumps({"directory": str(found.directory), "name": found.name, "revision": found.revision}))
except BadCheckpoint as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    return write_native(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Path:
    directory = write_native(tmp_path_factory.mktemp("new"))
    change_config(directory, system_message="Be strict.")
    (directory / "modeling_internvl_chat.py").write_text("raise SystemExit")
    (directory / "pytorch_model.bin").write_bytes(b"pickle")
    return directory


@pytest.fixture(scope="module")
def endpoint(old, new) -> Iterator[str]:
    repositories = {"owner/model": {"main": new, "v1": old}, "owner/gated": {"main": new}}
    with serve_hub(repositories, gated=frozenset({"owner/gated"})) as endpoint:
        yield endpoint


def find(model: str, endpoint: str, home: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", SCRIPT, model]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_hub_id_is_downloaded_and_named_by_its_commit(endpoint, new, tmp_path):
    found = find("owner/model", endpoint, tmp_path)
    assert found["revision"] == commit_of(new)
    assert found["name"] == f"owner/model@{commit_of(new)}"
    names = {path.name for path in Path(found["directory"]).iterdir()}
    assert names == {"config.json", "merges.txt", "model.safetensors", "tokenizer_config.json", "vocab.json"}
    assert Path(found["directory"], "model.safetensors").read_bytes() == (new / "model.safetensors").read_bytes()


def test_revision_is_a_branch_or_a_commit_and_stays_pinned(endpoint, old, tmp_path):
    by_branch = find("owner/model@v1", endpoint, tmp_path)
    assert by_branch["name"] == f"owner/model@{commit_of(old)}"
    assert find(by_branch["name"], endpoint, tmp_path) == by_branch
    assert "Be strict." not in Path(by_branch["directory"], "config.json").read_text()


def test_earlier_download_is_found_without_a_network(endpoint, tmp_path):
    online = find("owner/model", endpoint, tmp_path)
    for model in ("owner/model", online["name"]):
        assert find(model, "http://127.0.0.1:1", tmp_path) == online


def test_missing_repository_is_an_error_that_says_what_was_tried(endpoint, tmp_path):
    error = find("owner/nothing", endpoint, tmp_path)["error"]
    assert f"no directory {tmp_path}/owner/nothing" in error
    assert "no such repository" in error


def test_missing_revision_is_an_error(endpoint, tmp_path):
    assert "has no revision v9" in find("owner/model@v9", endpoint, tmp_path)["error"]


def test_gated_repository_is_an_error_that_says_how_to_get_in(endpoint, tmp_path):
    error = find("owner/gated", endpoint, tmp_path)["error"]
    assert "gated" in error
    assert "hf auth login" in error


def test_hub_out_of_reach_is_one_line(tmp_path):
    error = find("owner/model", "http://127.0.0.1:1", tmp_path)["error"]
    assert "cannot be downloaded" in error
    assert "\n" not in error
