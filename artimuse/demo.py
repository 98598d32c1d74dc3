"""`artimuse demo`: the main job on the built-in model, with pictures made on the spot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console

from artimuse.configs import DemoConfig, ScoreConfig
from artimuse.pipelines.report import ScoreReport
from artimuse.pipelines.score import run as score
from artimuse.scenes.draw import save_picture
from artimuse.scenes.table import choose_scenes
from artimuse.sinks.parts import PARTS

NUM_PICTURES = 48


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The report of the run, and what its table is for."""

    score: ScoreReport
    parts: Path

    @property
    def exit_status(self) -> int:
        return self.score.exit_status

    def as_dict(self) -> dict[str, Any]:
        return self.score.as_dict()

    def print(self, console: Console) -> None:
        self.score.print(console)
        query = (
            f"SELECT image_id, round(score, 2), round(score_std, 2) FROM '{self.parts}/*.parquet'"
            " WHERE status = 'ok' ORDER BY score DESC LIMIT 5"
        )
        console.print(f"\nThe five highest scores, by {query}", highlight=False, markup=False, soft_wrap=True)
        for image_id, points, std in duckdb.execute(query).fetchall():
            console.print(f"  {points:6.2f} ± {std:5.2f}  {image_id}", highlight=False, markup=False)


def run(config: DemoConfig, console: Console) -> DemoReport:
    """Raises what `artimuse score` raises."""
    output = Path(config.output)
    images = config.images
    if images is None:
        images = str(output / "images")
        make_pictures(Path(images))
    table = output / "table"
    asked = ScoreConfig(input=images, output=str(table), model="nano", json=config.json, debug=config.debug)
    return DemoReport(score(asked, console), table / PARTS)


def make_pictures(folder: Path) -> None:
    """Writes synthetic pictures, the same ones every time; leaves those that are there alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, scene in enumerate(choose_scenes("test", NUM_PICTURES)):
        path = folder / f"picture-{i:02d}.jpg"
        if not path.exists():
            save_picture(scene, path)
