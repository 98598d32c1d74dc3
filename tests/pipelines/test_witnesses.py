"""Images by which nodes prove that they see INPUT: how many, and for how long they are looked for."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.pipelines import witnesses
from artimuse.pipelines.witnesses import NUM_WITNESSES, find_witnesses
from artimuse.sources import open_source
from artimuse.table.plan import write_plan
from tests.pictures import good_folder


@pytest.fixture
def output(tmp_path: Path) -> Folder:
    """A run whose plan has 40 images."""
    folder = Folder.at(str(tmp_path / "out"))
    write_plan(open_source(str(good_folder(tmp_path / "in", 40))), folder)
    return folder


@pytest.fixture
def is_over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_few_images_are_enough(output: Folder, tmp_path: Path):
    found = find_witnesses(output, DecodeLimits())
    assert len(found) == NUM_WITNESSES
    assert all(Path(image.uri).is_relative_to(tmp_path / "in") for image in found)


def test_without_a_readable_image_it_is_said(output: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    assert find_witnesses(output, DecodeLimits()) == []
    assert "none of 40 images of INPUT can be read here" in caplog.text


def test_images_that_do_not_come_are_not_waited_for(
    output: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_over: threading.Event
):
    def fetch(image: Location, _: DecodeLimits) -> bytes | RowError:
        if image.uri.endswith("7.png"):
            return b"picture"
        is_over.wait(60)
        return RowError("io_error", "no answer")

    monkeypatch.setattr(witnesses, "fetch", fetch)
    monkeypatch.setattr(witnesses, "DEADLINE_S", 0.5)
    found = find_witnesses(output, DecodeLimits())
    assert [Path(image.uri).name for image in found] == ["0007.png"]
    assert "not all of 40 images of INPUT that were tried have answered" in caplog.text
