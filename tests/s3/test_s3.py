"""S3 as INPUT against real servers: listing, reading, refusals, and every fault at a high rate."""

import hashlib
import random
import time
from pathlib import Path

import pytest

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import BadInput, RowError
from artimuse.io import retries
from artimuse.io import s3 as s3_store
from artimuse.io.fetch import fetch
from artimuse.io.fetcher import Fetcher
from artimuse.io.location import Location
from artimuse.io.retries import GaveUp
from artimuse.io.store import TooLarge
from artimuse.io.stores import open_store
from artimuse.sources import open_source
from tests.s3.fault_proxy import DELAY_S, Fault, fault_proxy
from tests.s3.server import BUCKET, PRIVATE, Keys, Server, connect
from tests.sources.containers import bodies, location_of, parquet, rows_of, tar

NUM_LISTED = 2_100
ODD_KEYS = (
    "a b.jpg",
    "a+b.jpg",
    "a#1.jpg",
    "100%25.jpg",
    "a?versionId=1.jpg",
    "a::b.jpg",
    "☃/é.jpg",
    "x//double.jpg",
    "[1]{2}*.jpg",
    "quote'\"&<>.jpg",
    "semi;comma,=.jpg",
)
SPOILED_SHARE = 0.3
SMALLEST_PART_BYTES = 5 * 2**20
"""S3 takes no smaller part of a multipart upload, except for the last one."""


def noise(seed: int, num_bytes: int) -> bytes:
    return random.Random(seed).randbytes(num_bytes)


BODIES = {f"{number:03d}.jpg": noise(number, 1_000 + 997 * number) for number in range(80)}
MEMBERS = {f"{number:03d}.jpg": noise(number, 20_000) for number in range(60)}


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    server.put({f"many/{number % 7}/{number:05d}.jpg": b"" for number in range(NUM_LISTED)})
    server.put(
        {f"odd/{key}": key.encode() for key in ODD_KEYS}
        | {"odd/folder/": b"", "odd/a.txt": b"", "odd/.hidden.jpg": b""}
    )
    server.put({f"bodies/{key}": body for key, body in BODIES.items()})
    server.put({"tars/0.tar": tar(MEMBERS), "tars/1.tar": tar({"x.jpg": b"x", "x.json": b"{}"})})
    server.put({"parquet/0.parquet": parquet({"jpg": list(MEMBERS.values())}, row_group_size=16)})
    server.put({"a.jpg": b"a"}, bucket=PRIVATE)
    return server


@pytest.fixture(autouse=True)
def _connected(filled: Server, s3: Server) -> None:
    """As reader, with something to read."""


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """About 5 s before a read is given up: longer than a busy machine may leave a connection waiting."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.01)


def image_ids(location: str) -> list[str]:
    return [row["image_id"] for row in rows_of(open_source(location))]


def refusal(location: str) -> str:
    with pytest.raises(BadInput) as caught:
        rows_of(open_source(location))
    return str(caught.value)


def read(url: str, *, max_bytes: int) -> bytes:
    store, path = open_store(url)
    return store.read(path, max_bytes=max_bytes)


def digests(found: dict[str, bytes | RowError]) -> dict[str, str | RowError]:
    return {
        key: body if isinstance(body, RowError) else hashlib.sha256(body).hexdigest() for key, body in found.items()
    }


def test_more_keys_than_a_page_are_listed_each_once():
    ids = image_ids(f"s3://{BUCKET}/many")
    assert sorted(ids) == sorted(f"{number % 7}/{number:05d}.jpg" for number in range(NUM_LISTED))
    assert ids == image_ids(f"s3://{BUCKET}/many/")


def test_keys_of_every_kind_lead_to_their_bytes():
    source = open_source(f"s3://{BUCKET}/odd")
    assert bodies(source) == {key: key.encode() for key in ODD_KEYS}
    assert source.skipped == {".txt": 1}


@pytest.mark.parametrize(
    ("pattern", "num_found"),
    [
        ("many/3/*.jpg", NUM_LISTED // 7),
        ("many/[34]/*0.jpg", 2 * NUM_LISTED // 70),
        ("many/**/*77.jpg", NUM_LISTED // 100),
        ("many/*", 0),
        ("{many/0,many/1}/*.jpg", 2 * NUM_LISTED // 7),
        ("bodies/{000..004}.jpg", 5),
        ("**/x.jpg", 0),
        ("od*/a*.jpg", 5),
    ],
)
def test_globs_match_as_they_do_on_a_disk(pattern: str, num_found: int):
    if num_found:
        assert len(image_ids(f"s3://{BUCKET}/{pattern}")) == num_found
    else:
        assert "no file matches" in refusal(f"s3://{BUCKET}/{pattern}")


def test_a_folder_with_nothing_in_it_is_refused():
    assert "no images in this folder. It holds no files" in refusal(f"s3://{BUCKET}/nothing")


def test_a_missing_bucket_is_refused_before_anything_runs(server: Server, monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, server.url, server.owner)
    assert refusal("s3://no-such-bucket/x").startswith("s3://no-such-bucket/x: cannot be listed (FileNotFoundError")
    assert "cannot be read (FileNotFoundError" in refusal("s3://no-such-bucket/list.csv")


@pytest.mark.parametrize("keys", [Keys("nobody", "nothing"), None])
def test_wrong_credentials_are_refused_before_anything_runs(
    server: Server, monkeypatch: pytest.MonkeyPatch, keys: Keys | None
):
    connect(monkeypatch, server.url, keys or Keys(server.reader.key, "wrong"))
    for location in (f"s3://{BUCKET}/odd", f"s3://{BUCKET}/*.jpg", f"s3://{BUCKET}/x.tar", f"s3://{BUCKET}/list.csv"):
        assert "(PermissionError" in refusal(location)
    result = fetch(Location(f"s3://{BUCKET}/bodies/000.jpg"), DecodeLimits())
    assert isinstance(result, RowError)
    assert result.code == "access_denied"


def test_what_may_not_be_read_fails_alone_and_at_once(tmp_path: Path):
    (tmp_path / "list.csv").write_text(
        f"uri\ns3://{PRIVATE}/a.jpg\ns3://{BUCKET}/bodies/001.jpg\ns3://{BUCKET}/gone.jpg\n"
    )
    [denied, body, gone] = bodies(open_source(f"{tmp_path}/list.csv")).values()
    assert isinstance(denied, RowError)
    assert isinstance(gone, RowError)
    assert (denied.code, body, gone.code) == ("access_denied", BODIES["001.jpg"], "not_found")


def test_an_object_over_the_limit_is_not_read():
    url = f"s3://{BUCKET}/bodies/050.jpg"
    with pytest.raises(TooLarge):
        read(url, max_bytes=1000)
    assert fetch(Location(url), DecodeLimits(max_bytes=1000)) == RowError("too_large", "50850 bytes, the limit is 1000")


def test_ranges_are_exact():
    url, body = f"s3://{BUCKET}/bodies/050.jpg", BODIES["050.jpg"]
    store, path = open_store(url)
    assert store.read_range(path, 0, 1) == body[:1]
    assert store.read_range(path, 1234, 5678) == body[1234 : 1234 + 5678]


FAULTS: tuple[Fault, ...] = ("slow_down", "unavailable", "reset", "cut_short", "delay")


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_a_row_or_changes_a_byte(server: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault):
    share = 0.05 if fault == "delay" else SPOILED_SHARE
    with fault_proxy(server.url, fault, share) as proxy:
        connect(monkeypatch, proxy.url, server.reader)
        fetcher = Fetcher(DecodeLimits())
        found = {}
        for location in ("bodies", "tars", "parquet"):
            rows = rows_of(open_source(f"s3://{BUCKET}/{location}"))
            fetched = fetcher([location_of(row) for row in rows])
            found |= {f"{location}/{row['image_id']}": data for row, data in zip(rows, fetched, strict=True)}
        fetcher.close()
    expected = {f"bodies/{key}": body for key, body in BODIES.items()}
    expected |= {f"tars/0.tar#{key[:3]}": body for key, body in MEMBERS.items()} | {"tars/1.tar#x": b"x"}
    expected |= {f"parquet/0.parquet#{row}": body for row, body in enumerate(MEMBERS.values())}
    assert digests(found) == digests(expected)
    assert proxy.num_spoiled > 0.5 * share * proxy.num_requests


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut_short"])
def test_a_fault_costs_a_part_of_a_large_file_not_the_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Fault
):
    """A large file with one attempt for the whole of it."""
    monkeypatch.setattr(s3_store, "PART_BYTES", SMALLEST_PART_BYTES)
    body = noise(1, 4 * SMALLEST_PART_BYTES + 1234)
    (tmp_path / "sent").write_bytes(body)
    with fault_proxy(server.url, fault, SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, server.owner)
        store, path = open_store(f"s3://{BUCKET}/large/{fault}")
        with monkeypatch.context() as patch:
            patch.setattr(retries, "NUM_ATTEMPTS", 1)
            store.upload(tmp_path / "sent", path)
        num_sent = proxy.num_requests
        store.download(path, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == body
    assert num_sent >= 5 + 2
    assert proxy.num_requests - num_sent >= 5 + 1
    assert proxy.num_spoiled > 0


def test_reads_overlap(server: Server, monkeypatch: pytest.MonkeyPatch):
    with fault_proxy(server.url, "delay", 1.0) as proxy:
        connect(monkeypatch, proxy.url, server.reader)
        fetcher = Fetcher(DecodeLimits())
        began = time.monotonic()
        found = list(fetcher([Location(f"s3://{BUCKET}/bodies/{key}") for key in BODIES]))
        took_s = time.monotonic() - began
        fetcher.close()
    assert found == list(BODIES.values())
    assert took_s < 0.3 * len(BODIES) * DELAY_S


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut_short"])
def test_listing_survives_faults(server: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault):
    with fault_proxy(server.url, fault, SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, server.reader)
        assert len(image_ids(f"s3://{BUCKET}/many")) == NUM_LISTED


@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut_short"])
def test_a_fault_that_stays_is_an_error_of_the_row(server: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault):
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.001)
    with fault_proxy(server.url, fault, 1.0) as proxy:
        connect(monkeypatch, proxy.url, server.reader)
        with pytest.raises(GaveUp, match="10 attempts failed, the last with"):
            read(f"s3://{BUCKET}/bodies/000.jpg", max_bytes=10_000)
        result = fetch(Location(f"s3://{BUCKET}/bodies/000.jpg"), DecodeLimits())
    assert isinstance(result, RowError)
    assert result.code == "io_error"
    # Of a connection that is reset, aiohttp itself tries another one.
    assert 2 * retries.NUM_ATTEMPTS <= proxy.num_requests <= 4 * retries.NUM_ATTEMPTS


def test_a_store_that_is_not_there_is_refused_with_its_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.0)
    connect(monkeypatch, "http://127.0.0.1:9", Keys("a", "b"))
    assert "127.0.0.1:9" in refusal(f"s3://{BUCKET}/x")
