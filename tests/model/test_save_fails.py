"""What saving refuses, and what a failure or a kill leaves behind: nothing under the name."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from artimuse.errors import BadCheckpoint, BadOutput
from tests.model.checkpoints import NANO, nano_weights
from tests.model.saving import LAYOUTS, assert_same_weights, save, weights_of


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_or_unknown_weight_is_refused(tmp_path, layout):
    weights = nano_weights()
    missing = "model.vision_tower.encoder.layer.1.attention.k_proj.bias"
    bias = weights.pop(missing)
    key = missing if layout == "native" else "vision_model.encoder.layers.1.attn.qkv.bias"
    with pytest.raises(BadCheckpoint, match=f"{key} is missing"):
        save(NANO, tmp_path / "saved", layout, weights=iter(weights.items()))
    weights |= {missing: bias, "score_head.weight": bias}
    with pytest.raises(BadCheckpoint, match=r"unexpected tensor score_head\.weight"):
        save(NANO, tmp_path / "saved", layout, weights=iter(weights.items()))
    assert list(tmp_path.iterdir()) == []


def test_directory_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "notes.txt").write_text("mine")
    with pytest.raises(BadOutput, match="not an empty directory"):
        save(NANO, tmp_path / "saved")
    with pytest.raises(BadOutput, match="not an empty directory"):
        save(NANO, tmp_path / "saved" / "notes.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["saved", "notes.txt"]


def test_empty_directory_is_taken_also_behind_a_link_and_missing_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    save(NANO, tmp_path / "link")
    assert_same_weights(weights_of(tmp_path / "empty"), nano_weights())
    save(NANO, tmp_path / "a" / "b" / "c")
    assert_same_weights(weights_of(tmp_path / "a" / "b" / "c"), nano_weights())


def test_directory_that_is_filled_meanwhile_is_not_replaced(tmp_path):
    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        yield from nano_weights().items()
        shutil.copytree(NANO, tmp_path / "saved")

    with pytest.raises(BadOutput, match="saved: cannot be written"):
        save(NANO, tmp_path / "saved", weights=stream())
    assert list(tmp_path.iterdir()) == [tmp_path / "saved"]
    assert_same_weights(weights_of(tmp_path / "saved"), nano_weights())


def test_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadOutput, match="saved: cannot be written"):
        save(NANO, tmp_path / "file" / "saved")


def test_failure_half_way_leaves_nothing(tmp_path):
    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        yield from list(nano_weights().items())[:20]
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        save(NANO, tmp_path / "saved", weights=stream(), max_shard_bytes=10**4)
    assert list(tmp_path.iterdir()) == []


KILLED_SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.model.save import save_checkpoint

def killed(weights):
    for number, weight in enumerate(weights):
        if number == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        yield weight

nano = read_spec(find_checkpoint("nano"))
weights = killed(nano.weights(torch.bfloat16, "cpu"))
save_checkpoint(Path(sys.argv[1]), nano, weights, layout="native", dtype=torch.bfloat16, max_shard_bytes=10**4)
"""


def test_killed_process_leaves_nothing_under_the_name_and_the_next_one_succeeds(tmp_path):
    script = [sys.executable, "-c", KILLED_SCRIPT, str(tmp_path / "saved")]
    assert subprocess.run(script, check=False).returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".saved.")
    assert any(left.glob("*.unfinished"))  # it was in the midst of writing
    save(NANO, tmp_path / "saved")
    assert_same_weights(weights_of(tmp_path / "saved"), nano_weights())
