"""Images from and to an S3 server: from objects, tars and Parquet files, through faults, and after a run was killed."""

from pathlib import Path

import pyarrow as pa
import pytest

from artimuse.cli import main
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from tests.curation.materialize.materialized import materialize, refusal, score, select
from tests.pictures import encoded, picture
from tests.s3.fault_proxy import Fault, fault_proxy
from tests.s3.server import BUCKET, Server, connect
from tests.sources.containers import HF_IMAGE, parquet, tar

NUM_IMAGES = 30
SPOILED_SHARE = 0.1
IMAGES = {f"{number:03d}.png": encoded(picture(8 * number)) for number in range(NUM_IMAGES)}
SOURCES = {"objects": "objects", "tars": "tars/0.tar", "parquet": "parquet/0.parquet"}
EXPECTED = {
    "objects": IMAGES,
    "tars": IMAGES,
    "parquet": {f"0.parquet#{row}.png": data for row, data in enumerate(IMAGES.values())},
}


@pytest.fixture(scope="module")
def stored(server: Server) -> Server:
    cells = pa.array([{"bytes": data, "path": None} for data in IMAGES.values()], HF_IMAGE)
    server.put({f"from/objects/{name}": data for name, data in IMAGES.items()})
    server.put({"from/tars/0.tar": tar(IMAGES), "from/parquet/0.parquet": parquet({"image": cells}, row_group_size=7)})
    return server


@pytest.fixture(autouse=True)
def _owner(stored: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, stored.url, stored.owner)


def objects(server: Server, prefix: str) -> dict[str, bytes]:
    """By another client than ours, beside the records."""
    s3 = server.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    keys = [entry["Key"] for entry in listed]
    found = {key.removeprefix(f"{prefix}/"): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    return {key: data for key, data in found.items() if not key.startswith((".", "materialize.json"))}


@pytest.mark.parametrize("source", list(SOURCES))
def test_the_bytes_are_those_of_the_store(
    source: str, stored: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = score(f"s3://{BUCKET}/from/{SOURCES[source]}", tmp_path / "table")
    chosen = select(table, to=tmp_path / "selection.parquet")
    materialize(chosen, f"s3://{BUCKET}/to/{source}", "folder", capsys=capsys)
    assert objects(stored, f"to/{source}") == EXPECTED[source]


def test_a_dest_with_other_objects_is_refused(stored: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stored.put({"taken/below/x.txt": b"mine"})
    chosen = select(score(f"s3://{BUCKET}/from/tars/0.tar", tmp_path / "table"), to=tmp_path / "selection.parquet")
    said = refusal(chosen, f"s3://{BUCKET}/taken", "folder", capsys=capsys)
    assert "has files of its own (below)" in said


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
@pytest.mark.parametrize(
    "fault", ["cut_short", *(pytest.param(fault, marks=pytest.mark.long) for fault in ("slow_down", "reset"))]
)
def test_no_fault_loses_an_image(
    fault: Fault,
    layout: str,
    stored: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    table = score(f"s3://{BUCKET}/from/objects", tmp_path / "table")
    chosen = select(table, to=tmp_path / "selection.parquet")
    with fault_proxy(stored.url, fault, SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, stored.owner)
        report = materialize(chosen, f"s3://{BUCKET}/{fault}/{layout}", layout, capsys=capsys)
        assert proxy.num_spoiled > 0
    assert (report["num_copied"], report["num_failed"]) == (NUM_IMAGES, 0)
    connect(monkeypatch, stored.url, stored.owner)
    found = objects(stored, f"{fault}/{layout}")
    if layout == "folder":
        assert found == IMAGES
    else:
        assert list(found) == ["000000.tar"]
        assert all(data in found["000000.tar"] for data in IMAGES.values())


def test_a_run_that_a_store_ends_goes_on_where_it_was(
    stored: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Selection, table, source and DEST are all on the store."""
    to = f"s3://{BUCKET}/ended"
    select(score(f"s3://{BUCKET}/from/objects", tmp_path / "table"), to=tmp_path / "selection.parquet")
    Folder.at(f"s3://{BUCKET}/lists").write("selection.parquet", (tmp_path / "selection.parquet").read_bytes())
    arguments = ["materialize", f"s3://{BUCKET}/lists/selection.parquet", to, "--format", "folder"]
    real, num_written = Folder.write, 0

    def write(self: Folder, name: str, data: bytes) -> None:
        nonlocal num_written
        num_written += name.endswith(".png")
        if num_written > 9:
            raise BadOutput("no more")
        real(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write", write)
        assert main(arguments) == 1
    there = objects(stored, "ended")
    assert 0 < len(there) < NUM_IMAGES
    before = {key: stored.client("s3").head_object(Bucket=BUCKET, Key=f"ended/{key}")["LastModified"] for key in there}
    assert main(arguments) == 0
    assert objects(stored, "ended") == IMAGES
    after = {key: stored.client("s3").head_object(Bucket=BUCKET, Key=f"ended/{key}")["LastModified"] for key in there}
    assert before == after
