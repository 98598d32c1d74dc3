"""Parquet files with images inside: the layouts people write, and that no row is read twice."""

import logging
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import BadInput, RowError
from artimuse.io import parquet_cells
from artimuse.io.fetch import fetch
from artimuse.io.fetcher import Fetcher
from artimuse.io.parquet_cells import ParquetCells
from artimuse.io.stores import open_file
from artimuse.sources import open_source
from tests.sources.containers import HF_IMAGE, bodies, location_of, parquet, rows_of

IMAGES = [b"first", b"second" * 100, b""]


def hf_images(images: list[bytes | None]) -> pa.Array:
    return pa.array([{"bytes": image, "path": "same.jpg"} for image in images], HF_IMAGE)


def write(path: Path, columns: dict[str, Any], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet(columns, **options))
    return str(path)


def refusal(location: str | Path, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        rows_of(open_source(str(location), **options))
    return str(caught.value)


def test_the_layout_of_hf_datasets_is_read(tmp_path: Path):
    location = write(tmp_path / "train.parquet", {"image": hf_images(IMAGES), "label": [1, 2, 3]})
    source = open_source(location)
    assert rows_of(source)[1] == {
        "image_id": "train.parquet#1",
        "uri": f"{location}#1",
        "artimuse:offset": 1,
        "artimuse:column": "image.bytes",
        "label": 2,
    }
    assert bodies(source) == {f"train.parquet#{row}": image for row, image in enumerate(IMAGES)}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IMAGES),
        pa.array(IMAGES, pa.large_binary()),
        pa.array([list(image) for image in IMAGES], pa.list_(pa.uint8())),
        pa.array([list(image) for image in IMAGES], pa.large_list(pa.int8())),
        pa.array([{"path": None, "bytes": list(image)} for image in IMAGES]).cast(
            pa.struct([("path", pa.string()), ("bytes", pa.list_(pa.uint8()))])
        ),
    ],
)
@pytest.mark.parametrize("name", ["jpg", "a.b"])
def test_bytes_are_read_however_they_are_stored(tmp_path: Path, column: pa.Array, name: str):
    location = write(tmp_path / "x.parquet", {name: column})
    assert list(bodies(open_source(location, image_column=name)).values()) == IMAGES


def test_the_first_known_column_is_taken_and_no_bytes_pass_through(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    columns = {"webp": [b"w"], "png": [b"p"], "mask": hf_images([b"m"]), "score": [0.5], "image": ["a name"]}
    location = write(tmp_path / "x.parquet", columns)
    source = open_source(location)
    with caplog.at_level(logging.WARNING):
        assert bodies(source) == {"x.parquet#0": b"p"}
    assert source.passthrough.names == ["input_score", "image"]
    assert [record.getMessage() for record in caplog.records] == ["parquet_columns_left_out columns=webp,mask"]
    assert bodies(open_source(location, image_column="mask")) == {"x.parquet#0": b"m"}


def test_ids_of_its_own_are_kept(tmp_path: Path):
    location = write(tmp_path / "x.parquet", {"image_id": [7, 8, 9], "jpg": IMAGES})
    assert list(bodies(open_source(location))) == ["7", "8", "9"]
    write(tmp_path / "x.parquet", {"image_id": ["a", None, "c"], "jpg": IMAGES})
    assert refusal(location) == f"{location}: no image_id in row 1 (rows count from 0)"


def test_a_folder_or_glob_of_files_is_one_collection(tmp_path: Path):
    for number in range(3):
        columns = {"image": hf_images([bytes([number, row]) for row in range(4)]), "n": [number] * 4}
        write(tmp_path / "data" / f"train-{number}.parquet", columns)
    (tmp_path / "README.md").write_text("# A data set")
    expected = {f"data/train-{n}.parquet#{row}": bytes([n, row]) for n in range(3) for row in range(4)}
    source = open_source(str(tmp_path))
    assert bodies(source) == expected
    assert source.skipped == {".md": 1}
    found = bodies(open_source(f"{tmp_path}/data/*-[01].parquet"))
    assert list(found) == [f"train-{n}.parquet#{row}" for n in range(2) for row in range(4)]


def test_a_file_may_be_on_a_url(memory_url: str):
    images = [bytes([row]) * 1000 for row in range(100)]
    store = fsspec.filesystem("memory")
    store.pipe_file(f"{memory_url}/x/a.parquet", parquet({"image": hf_images(images)}, row_group_size=30))
    assert list(bodies(open_source(f"{memory_url}/x/a.parquet")).values()) == images
    assert list(bodies(open_source(f"{memory_url}/x/")).values()) == images


def test_a_row_without_bytes_fails_alone(tmp_path: Path):
    images = pa.array([None, {"bytes": None, "path": "elsewhere.jpg"}, {"bytes": b"x", "path": None}], HF_IMAGE)
    location = write(tmp_path / "x.parquet", {"image": images})
    missing = RowError("not_found", "no bytes in `image.bytes` of this row")
    assert list(bodies(open_source(location)).values()) == [missing, missing, b"x"]


def test_a_cell_over_the_limit_fails_alone(tmp_path: Path):
    location = write(tmp_path / "x.parquet", {"image": IMAGES})
    found = bodies(open_source(location), DecodeLimits(max_bytes=10))
    assert list(found.values()) == [b"first", RowError("too_large", "600 bytes, the limit is 10"), b""]


def test_what_has_neither_images_nor_uris_is_refused(tmp_path: Path):
    location = write(tmp_path / "x.parquet", {"text": ["a"], "image": ["b.jpg"]})
    assert refusal(location) == (
        f"{location}: no column with images (image, jpg, png, webp, bytes, or --image-column), and none with their "
        "locations (`uri`): binary, or a struct with binary `bytes`. Columns found: text (string), image (string)"
    )
    assert "column `text` does not hold images" in refusal(location, image_column="text")
    assert "no rows" in refusal(write(tmp_path / "empty.parquet", {"jpg": pa.array([], pa.binary())}))


def test_a_column_uri_makes_a_manifest_unless_a_column_is_asked_for(tmp_path: Path):
    location = write(tmp_path / "x.parquet", {"uri": ["a.jpg"], "jpg": [b"x"]})
    assert rows_of(open_source(location))[0]["uri"] == f"{tmp_path}/a.jpg"
    [row] = rows_of(open_source(location, image_column="jpg"))
    assert (row["uri"], row["input_uri"]) == (f"{location}#0", "a.jpg")


def test_files_with_other_columns_are_refused(tmp_path: Path):
    write(tmp_path / "a.parquet", {"jpg": [b"x"], "label": [1]})
    location = write(tmp_path / "b.parquet", {"jpg": [b"x"], "label": ["cat"]})
    assert refusal(tmp_path) == f"{location}: column `label` is string, in the first file int64"
    write(tmp_path / "b.parquet", {"jpg": [b"x"]})
    assert refusal(tmp_path) == f"{location}: no column `label`, which the first file has"
    write(tmp_path / "b.parquet", {"image": [b"x"], "label": [1]})
    assert refusal(tmp_path) == f"{location}: no images in column `jpg`, where the first file has them"
    write(tmp_path / "b.parquet", {"jpg": [b"x"], "label": [1], "image_id": ["a"]})
    assert refusal(tmp_path) == f"{location}: has a column `image_id`, which the first file has not"


@pytest.mark.parametrize("names", ["abc", "bac", "cba"])
def test_a_column_that_is_null_throughout_a_file_has_the_type_of_the_others(tmp_path: Path, names: str):
    labels = [pa.array(["cat"]), pa.nulls(1), pa.nulls(1)]
    for name, label in zip(names, labels):
        write(tmp_path / f"{name}.parquet", {"jpg": [b"x"], "label": label})
    source = open_source(str(tmp_path))
    assert source.passthrough.field("label").type == pa.string()
    assert sorted(str(row["label"]) for row in rows_of(source)) == ["None", "None", "cat"]


@pytest.mark.parametrize("names", [("jpg", "Caption", "caption"), ("jpg", "jpg", "x"), ("jpg", "x", "x")])
def test_columns_that_are_one_to_sql_are_refused(tmp_path: Path, names: tuple[str, ...]):
    table = pa.Table.from_arrays([pa.array([b"x"]), pa.array(["a"]), pa.array(["b"])], list(names))
    pq.write_table(table, tmp_path / "x.parquet")
    assert "more than one column would be stored as" in refusal(tmp_path / "x.parquet")


def test_ids_may_be_stored_as_a_dictionary(tmp_path: Path):
    ids = pa.array(["a", "b"]).dictionary_encode()
    location = write(tmp_path / "x.parquet", {"image_id": ids, "jpg": [b"1", b"2"]})
    assert bodies(open_source(location)) == {"a": b"1", "b": b"2"}


def test_rows_that_have_moved_since_they_were_planned_fail(tmp_path: Path):
    ids, images = ["dark", "mid", "bright"], [b"1", b"2", b"3"]
    location = write(tmp_path / "x.parquet", {"image_id": ids, "jpg": images})
    planned = [location_of(row) for row in rows_of(open_source(location))]
    write(tmp_path / "x.parquet", {"image_id": ids[::-1], "jpg": images[::-1]})
    found = [fetch(location, DecodeLimits()) for location in planned]
    assert found == [
        RowError("io_error", "the Parquet file has changed: its row 0 is now 'bright'"),
        b"2",
        RowError("io_error", "the Parquet file has changed: its row 2 is now 'dark'"),
    ]


@pytest.mark.parametrize("had_ids", [True, False])
def test_rows_whose_ids_have_come_or_gone_fail(tmp_path: Path, had_ids: bool):
    columns = {"image_id": ["a"], "jpg": [b"1"]}, {"jpg": [b"1"]}
    before, after = columns if had_ids else columns[::-1]
    location = write(tmp_path / "x.parquet", before)
    [planned] = [location_of(row) for row in rows_of(open_source(location))]
    write(tmp_path / "x.parquet", after)
    assert "the Parquet file has changed" in str(fetch(planned, DecodeLimits()))


def test_a_damaged_file_is_refused_or_fails_its_rows(tmp_path: Path):
    images = [np.random.default_rng(row).bytes(5000) for row in range(20)]
    location = tmp_path / "x.parquet"
    data = bytearray(parquet({"jpg": images}, row_group_size=10, write_page_checksum=True))
    data[20_000:20_100] = bytes(100)
    location.write_bytes(data)
    found = list(bodies(open_source(str(location))).values())
    assert found[10:] == images[10:]
    assert all(isinstance(result, RowError) for result in found[:10])
    location.write_bytes(data[:-50])
    assert "cannot be read (" in refusal(location)


class CountingFile:
    """Counts the bytes that are read through it."""

    def __init__(self, location: str) -> None:
        self.file = open_file(location)
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.num_bytes += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[CountingFile]:
    opened: list[CountingFile] = []

    def open_counted(location: str, **_: Any) -> CountingFile:
        opened.append(CountingFile(location))
        return opened[-1]

    monkeypatch.setattr(parquet_cells, "open_file", open_counted)
    return opened


def test_rows_in_their_order_are_read_once_and_slice_by_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[CountingFile]
):
    images = [np.random.default_rng(row).bytes(20_000) for row in range(200)]
    location = write(
        tmp_path / "x.parquet", {"jpg": images}, row_group_size=100, compression="none", use_dictionary=False
    )
    monkeypatch.setattr(parquet_cells, "SLICE_BYTES", 100_000)
    cells = ParquetCells(location, "jpg")
    for row in range(0, 200, 3):
        assert cells.read(row).data == images[row]
        assert len(cells._slice[0]) <= 5
    assert counted[0].num_bytes < 1.1 * 200 * 20_000
    assert [cells.read(row).data for row in (5, 4, 199, 0, 150)] == [images[row] for row in (5, 4, 199, 0, 150)]
    with pytest.raises(IndexError, match="row 200 of a file with 200 rows"):
        cells.read(200)
    cells.close()


def test_a_fetcher_reads_several_files_in_order(tmp_path: Path):
    for number in range(3):
        images = hf_images([bytes([number, row]) for row in range(50)])
        write(tmp_path / f"{number}.parquet", {"image": images}, row_group_size=7)
    rows = rows_of(open_source(str(tmp_path)))
    fetcher = Fetcher(DecodeLimits())
    expected = [bytes([number, row]) for number in range(3) for row in range(50)]
    assert list(fetcher([location_of(row) for row in rows])) == expected
    fetcher.close()
    assert parquet_cells._latest == [], "a later run is to see the files as they are then"
