"""Selections from and to an S3 server that fails now and then."""

import io

import pytest
from rich.console import Console

from artimuse.configs.report import PageConfig
from artimuse.configs.select import SelectConfig
from artimuse.curation.report.run import run as write_page
from artimuse.curation.select.run import run
from artimuse.curation.selection import Selection
from artimuse.io.folder import Folder
from tests.curation.score_tables import kept_rows, write_table
from tests.s3.fault_proxy import Fault, fault_proxy
from tests.s3.server import BUCKET, Server, connect

SPOILED_SHARE = 0.1
ROWS = [{"score": float(number % 97)} for number in range(60)]
TABLE = f"s3://{BUCKET}/curation/table"


@pytest.fixture(scope="module")
def stored(server: Server) -> Server:
    with pytest.MonkeyPatch.context() as monkeypatch:
        connect(monkeypatch, server.url, server.owner)
        write_table(TABLE, ROWS)
    return server


@pytest.mark.parametrize(
    "fault",
    ["cut_short", *(pytest.param(fault, marks=pytest.mark.long) for fault in ("slow_down", "reset"))],
)
def test_a_selection_outlasts_the_faults_of_a_store(stored: Server, fault: Fault, monkeypatch: pytest.MonkeyPatch):
    to = f"s3://{BUCKET}/curation/{fault}.parquet"
    with fault_proxy(stored.url, fault, SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, stored.owner)
        run(SelectConfig(tables=(TABLE,), to=to, where="score >= 50", top=3), Console(file=io.StringIO()))
        assert proxy.num_spoiled > 0
    connect(monkeypatch, stored.url, stored.owner)
    assert kept_rows(to) == [("table", 57), ("table", 58), ("table", 59)]
    assert Selection.at(to).facts.dropped == {"where": 50, "not_at_the_top": 7}


@pytest.mark.long
def test_a_page_is_written_to_a_store_of_a_table_and_a_selection_that_are_there(
    stored: Server, monkeypatch: pytest.MonkeyPatch
):
    connect(monkeypatch, stored.url, stored.owner)
    console = Console(file=io.StringIO())
    selection = f"s3://{BUCKET}/curation/kept.parquet"
    run(SelectConfig(tables=(TABLE,), to=selection, top=7), console)
    with fault_proxy(stored.url, "cut_short", SPOILED_SHARE) as proxy:
        connect(monkeypatch, proxy.url, stored.owner)
        report = write_page(PageConfig(tables=(TABLE,), selection=selection), console)
    connect(monkeypatch, stored.url, stored.owner)
    assert report.page == f"{TABLE}/report.html"
    assert report.num_pictures == report.num_missing == 7
    assert b"7 of 60 images are kept" in Folder.at(TABLE).read("report.html")
    write_page(PageConfig(tables=(TABLE,)), console)
