"""Images on web servers: off by default, guarded when on, whole bodies or an error."""

import gzip
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest

from artimuse.configs.limits import DecodeLimits, HttpAccess
from artimuse.configs.score import ScoreConfig
from artimuse.errors import BadInput, RowError
from artimuse.io import http, retries
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.sources import open_source

BODY = bytes(range(256)) * 400
Headers = Mapping[str, str]
NO_HEADERS: Headers = MappingProxyType({})
REFUSED = "is not a public address; --http-networks may allow it"
LOOPBACK = HttpAccess(networks=("127.0.0.0/8",))


class Site(BaseHTTPRequestHandler):
    """Answers by path; remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    server: "SiteServer"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        num_asked = sum(asked.partition("?")[0] == path for asked, _ in self.server.asked)
        if path == "/a.jpg":
            self.answer(200, BODY)
        elif path == "/flaky.jpg":
            self.answer(503 if num_asked < 4 else 200, BODY)
        elif path == "/cut.jpg":
            self.answer(200, BODY if num_asked > 3 else BODY[:1000], length=len(BODY))
        elif path == "/endless.jpg":
            self.answer(200, BODY, length=None)
        elif path == "/packed.jpg":
            self.answer(200, gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
        elif path == "/away.jpg":
            self.answer(302, b"", headers={"Location": f"http://{self.server.elsewhere}/a.jpg", "Set-Cookie": "id=1"})
        elif path == "/round.jpg":
            self.answer(302, b"", headers={"Location": "/round.jpg"})
        elif path == "/silent.jpg":
            self.server.is_over.wait(60)
        elif path == "/list.csv":
            self.answer(200, b"uri,caption\na.jpg,one\nflaky.jpg,two\n")
        elif path == "/file.jpg":
            self.answer(302, b"", headers={"Location": "file:///etc/hostname"})
        else:
            self.answer(int(path.strip("/").partition(".")[0]), b"")

    def answer(
        self, status: int, body: bytes, *, length: int | None = -1, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.close_connection = length != -1
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class SiteServer(ThreadingHTTPServer):
    daemon_threads = True
    elsewhere = ""

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), Site)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.is_over = threading.Event()

    @property
    def host(self) -> str:
        return f"{self.server_address[0]}:{self.server_port}"


@pytest.fixture
def site() -> Iterator[SiteServer]:
    with SiteServer("127.0.0.1") as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server
        server.is_over.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.001)


def get(site: SiteServer, path: str, **limits: Any) -> bytes | RowError:
    return fetch(Location(f"http://{site.host}/{path}"), DecodeLimits(**{"http": LOOPBACK, **limits}))


def error(result: bytes | RowError) -> tuple[str, str]:
    assert isinstance(result, RowError)
    return result.code, result.message


def test_an_image_is_fetched_once_it_is_allowed(site: SiteServer):
    assert get(site, "a.jpg?size=large#top") == BODY
    assert [path for path, _ in site.asked] == ["/a.jpg?size=large"]
    assert error(get(site, "a.jpg", http=None)) == (
        "access_denied",
        "http(s) URLs are fetched with --allow-http only",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_this_machine_is_refused_however_it_is_written(site: SiteServer, host: str):
    url = f"http://{host}:{site.server_port}/a.jpg"
    code, message = error(fetch(Location(url), DecodeLimits(http=HttpAccess())))
    assert (code, site.asked) == ("access_denied", [])
    assert REFUSED in message


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1"])
def test_shorthands_for_addresses_are_no_hosts(site: SiteServer, host: str):
    error(fetch(Location(f"http://{host}:{site.server_port}/a.jpg"), DecodeLimits(http=HttpAccess())))
    assert site.asked == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[fe80::1]", "224.0.0.1"]
)
def test_private_networks_are_refused_without_a_packet(address: str):
    code, message = error(fetch(Location(f"http://{address}/a.jpg"), DecodeLimits(http=LOOPBACK)))
    assert (code, message) == ("access_denied", f"{address.strip('[]')} {REFUSED}")


def test_a_redirect_to_a_refused_address_is_refused(site: SiteServer):
    site.elsewhere = f"127.0.0.2:{site.server_port}"
    narrow = HttpAccess(networks=("127.0.0.1/32",))
    code, message = error(get(site, "away.jpg", http=narrow))
    assert (code, message) == (
        "access_denied",
        f"127.0.0.2 {REFUSED}",
    )
    assert len(site.asked) == 1


def test_a_redirect_carries_no_credentials_and_no_cookies(
    site: SiteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with SiteServer("127.0.0.2") as other:
        threading.Thread(target=other.serve_forever, args=[0.02], daemon=True).start()
        site.elsewhere = other.host
        url = f"http://me:secret@{site.host}/away.jpg"
        assert fetch(Location(url), DecodeLimits(http=LOOPBACK)) == BODY
        other.shutdown()
        [(_, headers)] = other.asked
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_redirects_end(site: SiteServer):
    assert error(get(site, "round.jpg")) == ("io_error", error(get(site, "round.jpg"))[1])
    assert len(site.asked) <= 2 * 6
    assert error(get(site, "file.jpg"))[0] == "io_error"


@pytest.mark.parametrize(
    ("status", "code", "num_asked"),
    [
        (404, "not_found", 1),
        (410, "not_found", 1),
        (401, "access_denied", 1),
        (403, "access_denied", 1),
        (418, "io_error", 1),
        (204, "io_error", 1),
        (503, "io_error", 10),
        (429, "io_error", 10),
    ],
)
def test_a_status_is_an_error_of_the_row_after_retries_where_they_may_help(
    site: SiteServer, status: int, code: str, num_asked: int
):
    assert error(get(site, str(status)))[0] == code
    assert len(site.asked) == num_asked


def test_a_server_that_does_not_answer_is_asked_twice(site: SiteServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "TIMEOUT", aiohttp.ClientTimeout(sock_read=0.1))
    timed_out = "SocketTimeoutError: Timeout on reading data from socket"
    code, message = error(get(site, "silent.jpg"))
    assert (code, message) == ("io_error", "GaveUp: 2 attempts failed, the last with Silent: " + timed_out)
    assert [path for path, _ in site.asked] == ["/silent.jpg"] * 2


@pytest.mark.parametrize(("number", "num_attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 2)])
def test_a_host_that_does_not_exist_is_an_answer(monkeypatch: pytest.MonkeyPatch, number: int, num_attempts: int):
    asked = []

    def look_up(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(number, "look-up failed")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    code, message = error(fetch(Location("http://nowhere.example/a.jpg"), DecodeLimits(http=LOOPBACK)))
    assert code == "io_error"
    assert "nowhere.example" in message
    assert len(asked) == num_attempts


def test_what_passes_is_tried_again(site: SiteServer):
    assert get(site, "flaky.jpg") == BODY
    assert get(site, "cut.jpg") == BODY


def test_a_body_over_the_limit_is_not_kept(site: SiteServer):
    for path in ("a.jpg", "endless.jpg", "packed.jpg"):
        assert error(get(site, path, max_bytes=5000))[0] == "too_large"
        assert get(site, path) == BODY


def test_manifests_may_list_http_uris_once_that_is_allowed(tmp_path: Path):
    (tmp_path / "list.csv").write_text("uri\nhttps://example.org/a.jpg\n")
    [batch] = open_source(f"{tmp_path}/list.csv", http=HttpAccess()).batches()
    assert batch["uri"].to_pylist() == ["https://example.org/a.jpg"]
    with pytest.raises(BadInput, match=r"in row 0 \(rows count from 0\) is an http\(s\) URL, and those"):
        list(open_source(f"{tmp_path}/list.csv").batches())
    (tmp_path / "list.csv").write_text("uri\nzip://a.jpg::https://example.org/a.zip\n")
    with pytest.raises(BadInput, match="has a URL inside another one, which is not fetched"):
        list(open_source(f"{tmp_path}/list.csv", http=HttpAccess()).batches())


def test_a_manifest_may_be_on_a_web_server_once_that_is_allowed(site: SiteServer):
    location = f"http://{site.host}/list.csv?version=2"
    [batch] = open_source(location, http=LOOPBACK).batches()
    assert batch["uri"].to_pylist() == [f"http://{site.host}/a.jpg", f"http://{site.host}/flaky.jpg"]
    assert batch["caption"].to_pylist() == ["one", "two"]
    num_asked = len(site.asked)
    with pytest.raises(BadInput, match=r"list\.csv.*: what is on web servers is fetched with --allow-http only"):
        open_source(location)
    assert len(site.asked) == num_asked
    with pytest.raises(BadInput, match=REFUSED):
        open_source(location, http=HttpAccess())
    with pytest.raises(BadInput, match=r"images\.tar: on a web server, INPUT can be one image or a manifest"):
        open_source(f"http://{site.host}/images.tar", http=LOOPBACK)
    with pytest.raises(BadInput, match=r"404\.csv: cannot be read"):
        open_source(f"http://{site.host}/404.csv", http=LOOPBACK)


def test_networks_are_checked_when_given():
    config = ScoreConfig(input="a", output="b", allow_http=True, http_networks="10.0.0.0/8, ::1/128")
    assert config.limits.http == HttpAccess(networks=("10.0.0.0/8", "::1/128"))
    assert ScoreConfig(input="a", output="b").limits.http is None
    with pytest.raises(ValueError, match="--http-networks needs --allow-http"):
        ScoreConfig(input="a", output="b", http_networks="10.0.0.0/8")
    with pytest.raises(ValueError, match=r"--http-networks 10\.0\.0\.1/8: expected a network such as"):
        ScoreConfig(input="a", output="b", allow_http=True, http_networks="10.0.0.1/8")
