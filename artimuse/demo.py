"""`artimuse demo`: the main job on the built-in model, with pictures made on the spot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artimuse.configs.demo import DemoConfig
from artimuse.configs.report import PageConfig
from artimuse.configs.score import ScoreConfig
from artimuse.curation.report.run import PAGE, PageReport
from artimuse.curation.report.run import run as write_page
from artimuse.pipelines.report import ScoreReport
from artimuse.pipelines.score import run as score
from artimuse.scenes.draw import save_picture
from artimuse.scenes.table import choose_scenes
from artimuse.table.parts import PARTS
from artimuse.table.verify import DEMO_TABLE

NUM_PICTURES = 48
NUM_SHOWN = 3
"""The number of pictures shown of the best, and of the worst."""
MAX_NEW_TOKENS = 48
SHOWN = ("comprehensive_evaluation", "technical_execution", "composition_and_design")
"""Attributes whose texts are shown; the table has all eight."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The report of the run, and what its table is for."""

    score: ScoreReport
    parts: Path
    page: PageReport

    @property
    def exit_status(self) -> int:
        return self.score.exit_status

    def as_dict(self) -> dict[str, Any]:
        return {**self.score.as_dict(), "page": self.page.as_dict()}

    def print(self, console: Console) -> None:
        self.score.print(console)
        files = f"{self.parts}/*.parquet".replace("'", "''")
        query = f"FROM '{files}' WHERE status = 'ok' ORDER BY score DESC"
        columns = ("score", "score_std", "image_id", *SHOWN)
        rows = duckdb.execute(f"SELECT {', '.join(columns)} {query}").fetchall()
        console.print(f"\nThe best and the worst, by SELECT ... {query}", highlight=False, markup=False, soft_wrap=True)
        table = Table("score", "picture", "what the model writes (three of eight texts)", box=None, pad_edge=False)
        for points, std, image_id, *texts in rows[:NUM_SHOWN] + rows[NUM_SHOWN:][-NUM_SHOWN:]:
            table.add_row(f"{points:.1f} ± {std:.1f}", Text(image_id), Text(" ".join(filter(None, texts))))
        console.print(table)
        console.print()
        self.page.print(console)


def run(config: DemoConfig, console: Console) -> DemoReport:
    """Raises what `artimuse score` raises."""
    output = Path(config.output)
    images = config.images
    if images is None:
        images = str(output / "images")
        make_pictures(Path(images))
    table = output / DEMO_TABLE
    asked = ScoreConfig(
        input=images,
        output=str(table),
        model="nano",
        attributes="all",
        max_new_tokens=MAX_NEW_TOKENS,
        json=config.json,
        debug=config.debug,
    )
    report = score(asked, console)
    page = write_page(PageConfig(tables=(f"demo={table}",), to=str(output / PAGE)), console)
    return DemoReport(report, table / PARTS, page)


def make_pictures(folder: Path) -> None:
    """Writes synthetic pictures, the same ones every time; leaves those that are there alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, scene in enumerate(choose_scenes("test", NUM_PICTURES)):
        path = folder / f"picture-{i:02d}.jpg"
        if not path.exists():
            save_picture(scene, path)
