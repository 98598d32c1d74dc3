"""The pictures of `artimuse demo` and what it shows; the command itself is run as the README's first one."""

import io
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from artimuse.demo import NUM_PICTURES, SHOWN, DemoReport, make_pictures


def test_the_demo_makes_48_pictures_and_leaves_those_that_are_there_alone(tmp_path: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "picture-07.jpg").write_bytes(b"mine")
    make_pictures(folder)
    assert len(list(folder.iterdir())) == NUM_PICTURES == 48
    assert (folder / "picture-07.jpg").read_bytes() == b"mine"
    with Image.open(folder / "picture-00.jpg") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize(("num_scored", "names"), [(10, "9 8 7 2 1 0"), (4, "3 2 1 0"), (0, "")])
def test_the_best_and_the_worst_are_shown_with_their_texts(tmp_path: Path, num_scored: int, names: str):
    parts = tmp_path / "it's mine" / "scores"
    parts.mkdir(parents=True)
    row = {"status": "ok", "score_std": 2.0} | dict.fromkeys(SHOWN, "Plain.")
    rows = [{**row, "image_id": f"{i}.jpg", "score": float(i)} for i in range(num_scored)]
    failed = {**dict.fromkeys(row), "status": "failed", "image_id": "bad.jpg", "score": None, "score_std": None}
    schema = pa.schema(
        [("status", pa.string()), ("image_id", pa.string()), ("score", pa.float32()), ("score_std", pa.float32())]
        + [(slug, pa.string()) for slug in SHOWN]
    )
    pq.write_table(pa.Table.from_pylist([*rows, failed], schema=schema), parts / "000000.parquet")
    output = io.StringIO()
    silent = SimpleNamespace(print=lambda _: None)
    DemoReport(silent, parts, silent).print(Console(file=output, width=200))
    lines = [line for line in output.getvalue().splitlines() if ".jpg" in line]
    assert [line.split()[3] for line in lines] == [f"{name}.jpg" for name in names.split()]
    assert all(line.rstrip().endswith("Plain. Plain. Plain.") for line in lines)
