"""What the built-in model is worth on scenes it has not seen: `make nano-eval`.

The test split is drawn again from its seed, scored and described by `artimuse score` with the weights that are in the
package. The models of other stages are measured too where `make nano` has left them; elsewhere their recorded numbers
are repeated, and said to be so.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from artimuse.datasets.table import TableReader
from artimuse.scenes.baseline import Baseline, linear_baseline
from artimuse.scenes.evaluation import evaluate
from artimuse.scenes.sentences import TOPICS
from artimuse.scenes.table import choose_scenes, write_scenes

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "nano"
RECORD = ROOT / "benchmarks" / "results" / "nano.json"
CARD = ROOT / "artimuse" / "model" / "nano" / "README.md"
NUM_TRAIN, NUM_TEST, NUM_DESCRIBED = 6000, 1000, 200
NUM_RECOMPUTED = 40
"""The first scenes are recorded by themselves too, so that a test can recompute them in seconds."""
SHIPPED, STAGE1, ALONE = "after stage 2", "after stage 1", "stage 2 alone"
MODELS = {STAGE1: BUILD / "stage1" / "model", ALONE: BUILD / "stage2-alone" / "model"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)} and the model card")
    options = parser.parse_args()
    recorded: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    with tempfile.TemporaryDirectory(prefix="nano-eval-") as name:
        folder = Path(name)
        scenes = write_scenes(folder / "scenes", sizes={"train": NUM_TRAIN, "test": NUM_TEST})
        reader = TableReader()
        baseline = linear_baseline(reader.read(str(scenes), "train"), reader.read(str(scenes), "test"))
        found = {SHIPPED: measured("nano", scenes, folder / "shipped")}
        for name, model in MODELS.items():
            if model.is_dir():
                found[name] = measured(str(model), scenes, folder / name.replace(" ", "-"))
            elif name in recorded:
                found[name] = recorded[name] | {"is_recorded": True}
    shown = report(baseline, found)
    print(shown)
    if repeated := [name for name, result in found.items() if result.get("is_recorded")]:
        print(f"\n{', '.join(repeated)}: as recorded; after `make nano` they are measured again.")
    if options.record:
        record = {"linear": {"srcc": baseline.srcc, "plcc": baseline.plcc}, **found}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
        CARD.write_text(card(shown), encoding="utf-8")


def measured(model: str, scenes: Path, output: Path) -> dict[str, Any]:
    """Scores all test scenes, then describes the first of them."""
    images = scenes / "images" / "test"
    score = [sys.executable, "-m", "artimuse", "score", str(images), str(output), "--model", model]
    subprocess.run(score, check=True)
    described = ["--attributes", "all", "--attributes-where", f"row_number < {NUM_DESCRIBED}", "--max-new-tokens", "48"]
    subprocess.run([*score, *described], check=True)
    rows = pq.read_table(output / "scores").sort_by("image_id").to_pylist()
    tests = list(choose_scenes("test", NUM_TEST))
    first = evaluate(tests[:NUM_RECOMPUTED], rows[:NUM_RECOMPUTED])
    return evaluate(tests, rows).as_dict() | {
        "first": {"num": NUM_RECOMPUTED, "scores": [row["score"] for row in rows[:NUM_RECOMPUTED]]}
        | {"srcc": first.srcc, "share_right": first.share_right}
    }


def report(baseline: Baseline, found: Mapping[str, Mapping[str, Any]]) -> str:
    console = Console(width=110, record=True, file=io.StringIO())
    scores = Table("scores of the test scenes", "SRCC", "PLCC", box=None, pad_edge=False)
    scores.add_row("linear model on 8×8 thumbnails", f"{baseline.srcc:.3f}", f"{baseline.plcc:.3f}")
    for name, result in found.items():
        if name != STAGE1:  # which has not learnt to score
            scores.add_row(name, f"{result['srcc']:.3f}", f"{result['plcc']:.3f}")
    sentences = Table("sentences that name the right class", *found, "majority", box=None, pad_edge=False)
    majority = found[SHIPPED]["sentences"]
    for slug in TOPICS:
        rights = [f"{result['sentences'][slug]['right']:.1%}" for result in found.values()]
        sentences.add_row(slug, *rights, f"{majority[slug]['majority']:.1%}")
    rights = [f"{result['share_right']:.1%}" for result in found.values()]
    sentences.add_row("all", *rights, f"{found[SHIPPED]['share_majority']:.1%}")
    console.print(scores)
    console.print()
    console.print(sentences)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def card(shown: str) -> str:
    """What is beside the weights in the package."""
    return f"""# nano

A demonstration of `artimuse`: the architecture of ArtiMuse (InternVL with a Qwen2 language model) at a fraction of
its size, trained by the project's own trainer on **synthetic scenes**: a coloured shape on a patterned ground. It has
never seen a photograph or a painting and is **not a judge of photographs**: on anything but such scenes its scores and
sentences mean nothing. It is here so that every step, from a folder of images to a table of scores and texts, can be
run and tested without a download or a GPU.

Made by `make nano` from random weights: captions and the form of answers first (standing in for the training of a real
base), then the paper's two stages, attribute texts and scores. `make nano-eval` draws {NUM_TEST:,} test scenes again,
scores them all, describes the first {NUM_DESCRIBED}, and prints

```
{shown}
```

The score of a scene depends on six properties and carries the noise of ten simulated annotators. A sentence counts as
right if it names the class of its property, and no other. Weights, tokenizer and scenes are made by this project;
nothing comes from a published model. License: Apache-2.0.
"""


if __name__ == "__main__":
    main()
