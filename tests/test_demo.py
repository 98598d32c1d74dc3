"""The pictures of `artimuse demo`; the command itself is run as the README's first one."""

from pathlib import Path

from PIL import Image

from artimuse.demo import NUM_PICTURES, make_pictures


def test_the_demo_makes_48_pictures_and_leaves_those_that_are_there_alone(tmp_path: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "picture-07.jpg").write_bytes(b"mine")
    make_pictures(folder)
    assert len(list(folder.iterdir())) == NUM_PICTURES == 48
    assert (folder / "picture-07.jpg").read_bytes() == b"mine"
    with Image.open(folder / "picture-00.jpg") as picture:
        assert picture.format == "JPEG"
