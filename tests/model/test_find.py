from pathlib import Path

import pytest

from artimuse.errors import BadCheckpoint
from artimuse.model.find import find_checkpoint
from tests.model.checkpoints import change_config, write_native


def test_nano_is_built_in_and_says_what_it_is_not():
    nano = find_checkpoint("nano")
    assert (nano.directory / "config.json").is_file()
    assert (nano.name, nano.revision) == ("nano", None)
    assert nano.note is not None
    assert "not a judge of photographs" in nano.note


def test_local_directory_is_found_and_named_absolutely(tmp_path, monkeypatch):
    write_native(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    found = find_checkpoint("models/mine")
    assert found.directory == tmp_path / "models" / "mine"
    assert found.name == str(found.directory)
    assert find_checkpoint(found.name) == found
    assert Path(find_checkpoint("./models/../models/mine").directory).samefile(found.directory)


def test_a_checkpoint_has_no_note_unless_it_says_so(tmp_path):
    write_native(tmp_path)
    change_config(tmp_path, artimuse_note=None)
    assert find_checkpoint(str(tmp_path)).note is None


@pytest.mark.parametrize("model", ["", "nano2", "/no/such/place", "./no/such", "../x", "a/b/c", "owner/repo@", "a b/c"])
def test_name_that_can_be_nothing_says_what_was_tried(model):
    with pytest.raises(BadCheckpoint, match=r"there is no directory /.*neither `nano`, a URL, nor a Hugging Face id"):
        find_checkpoint(model)
