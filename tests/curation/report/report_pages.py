"""Pages about score tables as tests look at them, without a browser."""

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from artimuse.configs.report import PageConfig
from artimuse.curation.report.run import PageReport, run
from tests.curation.score_tables import write_table

GENERATOR = pa.schema([("generator", pa.string())])
HOSTILE = "<script>alert(1)</script>\"'&</style>" + "x" * 10_000 + "\u202eflow\u0000\x1b[31m😀</script><!--"


class Page(HTMLParser):
    """The parts of a page that tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: dict[str, Any] = {}
        self._script = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = str(dict(attrs).get("id")) if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._script in ("plots", "details"):
            self.scripts[self._script] = json.loads(data)
        elif not self._script:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def number_of(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def write_page(directory: Path, *tables: str, **asked: Any) -> tuple[Page, PageReport]:
    named = tuple(str(directory / table) for table in tables or ("table",))
    to = str(directory / "page.html")
    report = run(PageConfig(tables=named, to=to, **asked), Console(file=io.StringIO()))
    return Page(Path(to).read_text()), report


def numbers(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def sixty_images(directory: Path) -> None:
    """A table of 60 images in two groups, of which 2 have failed."""
    rows = [{"score": float(n), "generator": "ab"[n % 2], "score_std": 5.0 + n % 3} for n in range(58)]
    failed = [{"score": None, "error_code": "corrupt", "error": "half a picture"}] * 2
    write_table(directory / "table", [*rows, *failed], passthrough=GENERATOR)
