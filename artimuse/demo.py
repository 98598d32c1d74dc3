"""`artimuse demo`: the main job on the built-in model, with pictures made on the spot."""

from pathlib import Path

import duckdb
import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from rich.console import Console

from artimuse.configs import DemoConfig, ScoreConfig
from artimuse.interfaces import PixelArray
from artimuse.pipelines.report import ScoreReport
from artimuse.pipelines.score import run as score
from artimuse.sinks.parquet import PARTS

NUM_PICTURES = 48
PICTURE_SIZE_PX = (640, 480)


def run(config: DemoConfig, console: Console) -> ScoreReport:
    """Raises what `artimuse score` raises."""
    output = Path(config.output)
    images = config.images
    if images is None:
        images = str(output / "images")
        make_pictures(Path(images))
    report = score(
        ScoreConfig(input=images, output=str(output / "table"), model="nano", json=config.json, debug=config.debug),
        console,
    )
    _show_filtering(output / "table" / PARTS, console)
    return report


def make_pictures(folder: Path) -> None:
    """Writes synthetic pictures, the same ones every time; leaves those that are there alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(NUM_PICTURES):
        path = folder / f"picture-{seed:02d}.jpg"
        if not path.exists():
            Image.fromarray(draw_picture(seed)).save(path, quality=90)


def draw_picture(seed: int) -> PixelArray:
    """A gradient sky with soft shapes, from one seed: uint8 (480, 640, 3)."""
    random = np.random.default_rng(seed)
    width, height = PICTURE_SIZE_PX
    top, bottom = random.integers(0, 256, (2, 3))
    blend = np.linspace(0, 1, height)[:, None, None]
    sky = np.broadcast_to(top + (bottom - top) * blend, (height, width, 3))
    picture = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(random.integers(1, 12)):
        x, y, radius = (int(n) for n in random.integers((0, 0, 20), (width, height, 160)))
        colour = tuple(int(n) for n in random.integers(0, 256, 3))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 6)))))


def _show_filtering(parts: Path, console: Console) -> None:
    """Prints a query on the table and its answer: filtering is what the table is for."""
    query = f"SELECT image_id, round(score, 2) AS score, round(score_std, 2) AS std FROM '{parts}/*.parquet'"
    query += " WHERE status = 'ok' ORDER BY score DESC LIMIT 5"
    console.print(f"\n[bold]The five highest scores[/bold], by {query}", highlight=False)
    for image_id, points, std in duckdb.execute(query).fetchall():
        console.print(f"  {points:6.2f} ± {std:5.2f}  {image_id}", highlight=False)
    console.print()
