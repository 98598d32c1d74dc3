"""The paper's ablations (tables 4 and 10) on nano: `make ablations`, resumable.

All rows start from the base that `make nano` leaves in build/nano. Rows that differ in stage 2 only share one stage 1;
seeds are of the last stage. What is compared is how well the rows score synthetic scenes: the order of the rows need
not be the paper's. Where the paper is silent the rules are those of docs/training.md.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from rich.console import Console

from artimuse.attributes import ATTRIBUTES
from artimuse.configs.presets import nano_score_finetune, nano_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.interfaces import AnnotationKind
from artimuse.scenes.evaluation import evaluate
from artimuse.scenes.table import choose_scenes, write_scenes
from artimuse.scorer import load
from artimuse.training.train import run

ROOT = Path(__file__).parents[1]
BASE = ROOT / "build" / "nano" / "base" / "model"
BUILD = ROOT / "build" / "ablations"
RESULTS = ROOT / "benchmarks" / "results"
RECORD, TABLE, PLOT = (RESULTS / f"ablations.{suffix}" for suffix in ("json", "md", "png"))
SIZES = {"train": 2500, "validation": 100, "test": 500}
SEEDS = (2025, 2026, 2027)
EVERY_KIND: tuple[AnnotationKind, ...] = ("score", "partial_text", "expert")
KIND_OF_DIGIT: tuple[AnnotationKind, ...] = (*["score"] * 6, *["partial_text"] * 2, *["expert"] * 2)
"""The kinds of ten scenes: most have a score, as in the paper's collection."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One experiment: what differs from ArtiMuse's own settings."""

    experiment: str
    """Table and letter in the paper."""
    name: str
    kinds: tuple[AnnotationKind, ...] = EVERY_KIND
    is_joint: bool = False
    """One stage with texts and scores, in place of two."""
    stage2: dict[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = SEEDS[:1]


ROWS = (
    Row(experiment="4 i, 10 j", name="existing 100, ordered (ArtiMuse)", seeds=SEEDS),
    Row(experiment="4 g, 10 a", name="5 levels", stage2={"strategy": "levels_5"}, seeds=SEEDS),
    Row(experiment="4 a", name="without professionally selected images", kinds=("score", "partial_text")),
    Row(experiment="4 b", name="without images with score captions", kinds=("partial_text", "expert")),
    Row(experiment="4 c", name="without images with partial text captions", kinds=("score", "expert")),
    Row(experiment="4 d", name="language model in full", stage2={"language_model": "full"}),
    Row(experiment="4 e", name="joint training", is_joint=True),
    Row(experiment="4 f", name="score as text", stage2={"strategy": "score_as_text"}),
    Row(experiment="4 h", name="expanding 200", stage2={"strategy": "expanded_200"}),
    Row(experiment="10 b", name="expanding 25", stage2={"strategy": "expanded_25"}),
    Row(experiment="10 c", name="expanding 50", stage2={"strategy": "expanded_50"}),
    Row(experiment="10 d", name="expanding 100", stage2={"strategy": "expanded_100"}),
    Row(experiment="10 e", name="expanding 250", stage2={"strategy": "expanded_250"}),
    Row(experiment="10 f", name="expanding 500", stage2={"strategy": "expanded_500"}),
    Row(experiment="10 g", name="existing 25", stage2={"strategy": "existing_25"}),
    Row(experiment="10 h", name="existing 50", stage2={"strategy": "existing_50"}),
    Row(experiment="10 i", name="existing 100, unordered", stage2={"strategy": "unordered_100"}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    if not BASE.is_dir():
        raise SystemExit(f"{BASE}: no base; `make nano` makes it")
    scenes = BUILD / "scenes"
    if not (scenes / "done").exists():
        write_scenes(scenes, sizes=SIZES)
        for path in (scenes / "train.parquet", scenes / "validation.parquet"):
            pq.write_table(with_kinds(pq.read_table(path)), path)
        (scenes / "done").touch()
    results = []
    for row in ROWS:
        found = [evaluated(config, scenes) for config in configs(row, scenes)]
        results.append(
            {
                "experiment": row.experiment,
                "name": row.name,
                "seeds": list(row.seeds),
                "srcc": [one["srcc"] for one in found],
                "plcc": [one["plcc"] for one in found],
                "num_unanswered": [one["num_scenes"] - one["num_scored"] for one in found],
            }
        )
        print(table(results))
    RECORD.write_text(json.dumps({"machine": machine.describe(), "sizes": SIZES, "rows": results}, indent=2) + "\n")
    TABLE.write_text(table(results), encoding="utf-8")
    draw(results)


def with_kinds(annotations: pa.Table) -> pa.Table:
    """The last digit of a scene decides its kind, and a kind what is known: see the paper's section 4.2."""
    rows = annotations.to_pylist()
    for row in rows:
        row["kind"] = KIND_OF_DIGIT[int(row["image_id"][-1])]
        if row["kind"] == "partial_text":
            row["score"] = None
        if row["kind"] == "score":  # its texts are one comprehensive evaluation
            row |= dict.fromkeys((attribute.slug for attribute in ATTRIBUTES[:-1]), None)
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def configs(row: Row, scenes: Path) -> Iterator[TrainConfig]:
    """The last stage of each seed, trained, after the stage before it."""
    scored = tuple(kind for kind in row.kinds if kind != "partial_text")
    for seed in row.seeds:
        output = str(BUILD / f"{row.name.replace(' ', '-').replace(',', '')}-{seed}")
        if row.is_joint:
            joint: dict[str, Any] = {"targets": "both", "epochs": 2, "seed": seed}
            yield trained(nano_text_pretrain(str(scenes), output, base=str(BASE), kinds=row.kinds, **joint))
            continue
        stage1_output = str(BUILD / "-".join(("stage1", *row.kinds)))
        stage1 = trained(nano_text_pretrain(str(scenes), stage1_output, base=str(BASE), kinds=row.kinds))
        base = f"{stage1.output}/model"
        # Faster than the preset: there are no texts here for it to spoil, and fewer steps to learn in.
        stage2: dict[str, Any] = {"learning_rate": 3e-4, "projector_learning_rate": None, "seed": seed, **row.stage2}
        yield trained(nano_score_finetune(str(scenes), output, base=base, kinds=scored, **stage2))


def trained(config: TrainConfig) -> TrainConfig:
    console = Console(stderr=True)
    run(config, console).print(console)
    return config


def evaluated(config: TrainConfig, scenes: Path) -> dict[str, Any]:
    """On the test scenes, by the scores alone; kept beside the run."""
    kept = Path(f"{config.output}.json")
    if kept.exists():
        return json.loads(kept.read_text())
    scorer = load(f"{config.output}/model", strategy=config.strategy, device="cpu")
    tests = list(choose_scenes("test", SIZES["test"]))
    paths = [scenes / "images" / "test" / f"{scene.number:07d}.jpg" for scene in tests]
    rows = [{"score": score.score, "texts_truncated": None} for score in scorer.score(paths)]
    found = evaluate(tests, rows).as_dict()
    kept.write_text(json.dumps(found))
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = [
        "# The paper's ablations on nano",
        "",
        f"By `make ablations`: {SIZES['train']:,} scenes to train on, {SIZES['test']:,} to test on; median over the"
        " seeds and, in brackets, their range. The plot is `ablations.png`.",
        "",
        "| table | experiment | SRCC | PLCC | without an answer |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        cells = [_shown(result["srcc"]), _shown(result["plcc"]), str(max(result["num_unanswered"]))]
        lines.append(" | ".join(["| " + result["experiment"], result["name"], *cells]) + " |")
    return "\n".join(lines) + "\n"


def _shown(found: Sequence[float | None]) -> str:
    values = [value for value in found if value is not None]
    if not values:
        return "none"
    spread = f" [{min(values):.3f}, {max(values):.3f}]" if len(values) > 1 else ""
    return f"{statistics.median(values):.3f}{spread}"


def draw(results: Sequence[dict[str, Any]]) -> None:
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for rank, result in enumerate(reversed(results)):
        values = [value for value in result["srcc"] if value is not None]
        axes.plot(values, [rank] * len(values), "o-", color="tab:blue")
    axes.set_yticks(range(len(results)), [f"{result['name']} ({result['experiment']})" for result in reversed(results)])
    axes.set_xlabel("SRCC on the test scenes, a point for each seed")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(PLOT, dpi=120)


if __name__ == "__main__":
    main()
