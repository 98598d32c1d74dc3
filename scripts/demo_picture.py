"""docs/demo.png, the picture of the README: the best and the worst of `make demo`, from the table that it leaves."""

import textwrap
from pathlib import Path

import duckdb
import matplotlib
from matplotlib import pyplot
from PIL import Image

OUTPUT = Path("demo-output")
NUM_SHOWN = 3
"""The number of pictures shown of the best, and of the worst."""
TEXT = "technical_execution"

ROWS = f"""
SELECT image_id, score, score_std, {TEXT}
FROM '{OUTPUT}/table/scores/*.parquet' WHERE status = 'ok' ORDER BY score DESC
"""


def main() -> None:
    matplotlib.use("agg")
    rows = duckdb.execute(ROWS).fetchall()
    figure, axes = pyplot.subplots(1, 2 * NUM_SHOWN, figsize=(12, 3.1), layout="constrained")
    for axis, (image_id, score, std, text) in zip(axes, rows[:NUM_SHOWN] + rows[-NUM_SHOWN:]):
        axis.imshow(Image.open(OUTPUT / "images" / image_id))
        axis.set_title(f"{score:.1f} ± {std:.1f}", fontsize=13)
        axis.set_xlabel(textwrap.fill(text, 28), fontsize=8)
        axis.set(xticks=[], yticks=[])
    figure.savefig("docs/demo.png", dpi=110)


if __name__ == "__main__":
    main()
