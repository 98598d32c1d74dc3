"""What the built-in model is worth on scenes it has not seen: `make nano-eval`.

The test split is drawn anew from its seed and scored by `artimuse score` with the weights that are in the package.
Models of other stages are evaluated too where `make nano` has left them; otherwise the recorded numbers are repeated,
and said so.
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
from artimuse.scenes.evaluation import Evaluation, evaluate
from artimuse.scenes.sentences import TOPICS
from artimuse.scenes.table import choose_scenes, write_scenes

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "nano"
RECORD = ROOT / "benchmarks" / "results" / "nano.json"
NUM_TRAIN, NUM_TEST, NUM_DESCRIBED = 6000, 1000, 300
STAGES = {"after stage 1": BUILD / "stage1" / "model", "stage 2 alone": BUILD / "stage2-alone" / "model"}
SHIPPED = "nano"
CARD = ROOT / "artimuse" / "model" / "nano" / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)} and the model card")
    options = parser.parse_args()
    recorded: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    with tempfile.TemporaryDirectory(prefix="nano-eval-") as place:
        folder = Path(place)
        scenes = write_scenes(folder / "scenes", sizes={"train": NUM_TRAIN, "test": NUM_TEST})
        reader = TableReader()
        baseline = linear_baseline(reader.read(str(scenes), "train"), reader.read(str(scenes), "test"))
        found: dict[str, Any] = {"after stage 2": measured(SHIPPED, scenes, folder / "shipped").as_dict()}
        for name, model in STAGES.items():
            if model.is_dir():
                found[name] = measured(str(model), scenes, folder / name.replace(" ", "-")).as_dict()
            elif name in recorded:
                found[name] = recorded[name] | {"recorded": True}
    shown = report(baseline, found)
    print(shown)
    if repeated := [name for name, result in found.items() if result.get("recorded")]:
        print(f"\n{', '.join(repeated)}: as recorded; `make nano` leaves the models to measure them again.")
    if options.record:
        record = {"baseline": {"srcc": baseline.srcc, "plcc": baseline.plcc}, **found}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
        CARD.write_text(card(shown), encoding="utf-8")


def measured(model: str, scenes: Path, output: Path) -> Evaluation:
    """Scores all test scenes, then describes the first of them."""
    score = [
        sys.executable,
        "-m",
        "artimuse.cli",
        "score",
        str(scenes / "images" / "test"),
        str(output),
        "--model",
        model,
    ]
    subprocess.run(score, check=True)
    first = f"row_number < {NUM_DESCRIBED}"
    subprocess.run([*score, "--attributes", "all", "--attributes-where", first, "--max-new-tokens", "48"], check=True)
    rows = pq.read_table(output / "scores").sort_by("image_id").to_pylist()
    return evaluate(list(choose_scenes("test", NUM_TEST)), rows)


def report(baseline: Baseline, found: Mapping[str, Mapping[str, Any]]) -> str:
    console = Console(width=110, record=True, file=io.StringIO())
    scores = Table("scores of the test scenes", "SRCC", "PLCC", box=None, pad_edge=False)
    scores.add_row("linear model on 8×8 thumbnails", f"{baseline.srcc:.3f}", f"{baseline.plcc:.3f}")
    for name, result in found.items():
        if name != "after stage 1":  # which has not learnt to score
            scores.add_row(name, f"{result['srcc']:.3f}", f"{result['plcc']:.3f}")
    sentences = Table("sentences that name the right class", *found, "majority", box=None, pad_edge=False)
    for slug in TOPICS:
        rights = [f"{result['sentences'][slug]['right']:.1%}" for result in found.values()]
        sentences.add_row(slug, *rights, f"{found['after stage 2']['sentences'][slug]['majority']:.1%}")
    rights = [f"{result['share_right']:.1%}" for result in found.values()]
    sentences.add_row("all", *rights, f"{found['after stage 2']['share_majority']:.1%}")
    console.print(scores)
    console.print()
    console.print(sentences)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(lines)


def card(shown: str) -> str:
    """What is beside the weights in the package."""
    return f"""# nano

A demonstration of `artimuse`: the architecture of ArtiMuse (InternVL with a Qwen2 language model) at a fraction of
its size, trained by the project's own trainer on **synthetic scenes**: a coloured shape on a patterned ground. It has
never seen a photograph or a painting and is **not a judge of photographs**: on anything but such scenes its scores and
sentences mean nothing. It is here so that every step, from a folder of images to a table of scores and texts, can be
run and tested without a download or a GPU.

Made by `make nano` from random weights: captions first (standing in for the training of a real base), then the
paper's two stages, attribute texts and scores. `make nano-eval` draws {NUM_TEST} test scenes anew, scores them all,
describes the first {NUM_DESCRIBED}, and prints

```
{shown}
```

The score of a scene depends on six properties and carries the noise of five simulated annotators. A sentence counts as
right if it names the class of its property, and no other. Weights, tokenizer and scenes are made by this project;
nothing comes from a published model. License: Apache-2.0.
"""


if __name__ == "__main__":
    main()
