"""What is missing is said before Ray starts, and only where Ray would be started."""

from pathlib import Path

import pytest
import ray
import torch

from artimuse.errors import ClusterProblem
from artimuse.runs.cluster import starts_here
from artimuse.runs.preconditions import refuse_missing

NO_SUCH_PACKAGE = {"no_such_package_at_all": "--engine vllm needs pip install 'artimuse[vllm]'"}


@pytest.fixture(autouse=True)
def temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where Ray keeps its sessions; nothing has been started."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_missing_package_is_one_line_with_what_to_do():
    with pytest.raises(ClusterProblem, match=r"--engine vllm needs pip install .* not installed here"):
        refuse_missing(packages=NO_SUCH_PACKAGE, needs_gpu=False, gpu_option="")
    refuse_missing(packages={"numpy": ""}, needs_gpu=False, gpu_option="")


def test_a_missing_gpu_is_one_line_with_what_to_do():
    with pytest.raises(ClusterProblem, match=r"--num-gpus 1: torch finds no GPU here.*--device cpu"):
        refuse_missing(packages={}, needs_gpu=True, gpu_option="--num-gpus 1")


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "ray://head:10001"])
def test_a_cluster_may_have_what_is_missing_here(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    refuse_missing(packages=NO_SUCH_PACKAGE, needs_gpu=True, gpu_option="--device cuda")


def test_a_cluster_that_was_started_on_this_machine_is_one(temporary_directory, monkeypatch):
    assert starts_here()
    (temporary_directory / "ray").mkdir()
    (temporary_directory / "ray" / "ray_current_cluster").write_text("127.0.0.1:6379")
    assert not starts_here()
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert starts_here()
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    assert not starts_here()
