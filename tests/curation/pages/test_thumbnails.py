"""Small pictures: from wherever a run has read its images, of a bounded size, or a reason why there is none."""

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.cli import main
from artimuse.configs.compare import CompareConfig
from artimuse.configs.limits import HttpAccess
from artimuse.configs.report import PageConfig
from artimuse.curation.pages.thumbnails import LARGE, SMALL, UNREADABLE, Thumbnail, thumbnails
from artimuse.table.plan import LOCATION_FIELDS
from tests.curation.score_tables import table_at, write_table
from tests.pictures import encoded, picture
from tests.sources.containers import parquet, tar


def scored(source: Path, table: Path) -> None:
    asked = ["--engine", "fake", "--workers", "0", "--max-failed", "1"]
    assert main(["score", str(source), str(table), *asked]) == 0


def made(table: Path, number: int = 0) -> Thumbnail:
    place = ("table", number)
    return thumbnails([table_at(table)], {place: SMALL}, None)[place]


def opened(thumbnail: Thumbnail) -> Image.Image:
    assert thumbnail.url is not None
    data = base64.b64decode(thumbnail.url.removeprefix("data:image/webp;base64,"))
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_pictures_are_found_in_folders_tars_and_parquet_files(tmp_path: Path, kind: str):
    data = [encoded(picture(level, width=640, height=480)) for level in (20, 220)]
    source = tmp_path / "photos"
    if kind == "folder":
        source.mkdir()
        for number, one in enumerate(data):
            (source / f"{number}.png").write_bytes(one)
    elif kind == "tar":
        source = tmp_path / "photos.tar"
        source.write_bytes(tar({"0.png": data[0], "1.png": data[1]}))
    else:
        source = tmp_path / "photos.parquet"
        source.write_bytes(parquet({"image_id": ["0", "1"], "image": data}))
    scored(source, tmp_path / "table")
    dark, bright = (made(tmp_path / "table", number) for number in range(2))
    assert (dark.width, dark.height) == opened(dark).size == (320, 240)
    assert np.asarray(opened(dark).convert("L")).mean() == pytest.approx(20, abs=3)
    assert np.asarray(opened(bright).convert("L")).mean() == pytest.approx(220, abs=3)


def test_a_picture_of_noise_is_small_too(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    (tmp_path / "photos" / "noise.png").write_bytes(encoded(Image.fromarray(noise)))
    scored(tmp_path / "photos", tmp_path / "table")
    for size in (SMALL, LARGE):
        [thumbnail] = thumbnails([table_at(tmp_path / "table")], {("table", 0): size}, None).values()
        assert thumbnail.url is not None
        assert len(thumbnail.url) * 3 / 4 <= size.max_bytes + 30
        assert thumbnail.width == size.long_side_px


def test_a_picture_that_is_gone_or_no_picture_any_more_has_a_reason(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "photos" / name).write_bytes(encoded(picture()))
    scored(tmp_path / "photos", tmp_path / "table")
    (tmp_path / "photos" / "0.png").unlink()
    (tmp_path / "photos" / "1.png").write_bytes(b"a letter")
    assert made(tmp_path / "table", 0) == Thumbnail(None, 0, 0, "not_found")
    assert made(tmp_path / "table", 1) == Thumbnail(None, 0, 0, UNREADABLE)


@pytest.fixture
def site() -> Iterator[ThreadingHTTPServer]:
    """A web server with one picture at every path, and in `asked` the paths that it was asked for."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append(self.path)
            body = encoded(picture())
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server
        server.shutdown()


ALLOWED = ["--allow-http", "--http-networks", "127.0.0.0/8"]


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_web_servers_are_asked_if_the_reader_allows_it_whatever_the_run_was_allowed(
    tmp_path: Path, site: ThreadingHTTPServer, verb: str
):
    host = f"http://127.0.0.1:{site.server_port}"
    (tmp_path / "list.csv").write_text("".join(["uri\n", *(f"{host}/{number}.png\n" for number in range(4))]))
    table, page = str(tmp_path / "table"), tmp_path / "page.html"
    asked = ["--engine", "fake", "--workers", "0", "--max-failed", "1", *ALLOWED]
    assert main(["score", str(tmp_path / "list.csv"), table, *asked]) == 0
    site.asked.clear()
    tables = [table]
    if verb == "compare":
        write_table(tmp_path / "other", [{"image_id": f"{host}/{number}.png", "score": 0.0} for number in range(4)])
        tables += [str(tmp_path / "other"), "--by", "image_id"]
    assert main([verb, *tables, "--to", str(page)]) == 0
    assert site.asked == []
    assert ">access_denied<" in page.read_text()
    assert main([verb, *tables, "--to", str(page), "--allow-http"]) == 0
    assert site.asked == [], "no public address"
    assert main([verb, *tables, "--to", str(page), *ALLOWED]) == 0
    assert set(site.asked) == {f"/{number}.png" for number in range(4)}
    assert ">access_denied<" not in page.read_text()


def test_a_plan_cannot_reach_a_server_by_another_way(tmp_path: Path, site: ThreadingHTTPServer):
    host = f"127.0.0.1:{site.server_port}"
    (tmp_path / "photos.tar").write_bytes(tar({"0.png": encoded(picture())}))
    scored(tmp_path / "photos.tar", tmp_path / "table")
    shard = tmp_path / "table" / "manifest" / "000000.parquet"
    plan = pq.read_table(shard)
    nothing = {field.name: None for field in LOCATION_FIELDS}
    for uri, where in (
        (f"http://{host}/photos.tar#0.png", {}),
        (f"zip://0.png::http://{host}/photos.zip", nothing),
        (f"simplecache::http://{host}/0.png", nothing),
        (f"webhdfs://{host}/0.png", nothing),
    ):
        [row] = plan.to_pylist()
        changed = pa.Table.from_pylist([row | {"uri": uri} | where], schema=plan.schema)
        pq.write_table(changed, shard)
        for http in (None, HttpAccess(networks=("127.0.0.0/8",))):
            [thumbnail] = thumbnails([table_at(tmp_path / "table")], {("table", 0): SMALL}, http).values()
            assert (thumbnail.reason, site.asked) == ("access_denied", []), uri


def test_options_for_web_servers_are_checked():
    with pytest.raises(ValueError, match="--http-networks needs --allow-http"):
        PageConfig(tables=("table",), http_networks="10.0.0.0/8")
    with pytest.raises(ValueError, match="expected a network such as"):
        CompareConfig(table_a="a", table_b="b", to="a.html", allow_http=True, http_networks="here")
    with pytest.raises(ValueError, match="--allow-http needs --to"):
        CompareConfig(table_a="a", table_b="b", allow_http=True)


def test_without_the_plan_there_are_no_pictures(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.png").write_bytes(encoded(picture()))
    scored(tmp_path / "photos", tmp_path / "table")
    (tmp_path / "table" / "manifest" / "000000.parquet").write_bytes(b"damaged")
    assert made(tmp_path / "table").reason == "not_found"
