"""S3 servers on loopback, started once for all tests that ask for one."""

from collections.abc import Iterator

import pytest

from tests.s3.moto_server import moto_server
from tests.s3.server import Server, connect
from tests.s3.swift_server import swift_server

SERVERS = {"moto": moto_server, "swift": swift_server}


@pytest.fixture(scope="session", params=["moto", pytest.param("swift", marks=pytest.mark.swift)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """With this process connected to it as its reader."""
    connect(monkeypatch, server.url, server.reader)
    return server
