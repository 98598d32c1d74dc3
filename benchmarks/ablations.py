"""The paper's ablations (tables 4 and 10) on nano: `make ablations`, resumable, under two hours on two cores.

All rows start from the base that `make nano` leaves in build/nano. Rows that differ in the answer to the score only
share one stage 1. What is compared is how the rows do on synthetic scenes; the order need not be the paper's.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from artimuse.interfaces import AnnotationKind
from artimuse.presets import nano_score_finetune, nano_text_pretrain
from artimuse.scenes.evaluation import evaluate
from artimuse.scenes.table import choose_scenes, write_scenes
from artimuse.schema import ANNOTATION_SCHEMA
from artimuse.scorer import load
from artimuse.train_config import TrainConfig
from artimuse.training.run import run

ROOT = Path(__file__).parents[1]
BASE = ROOT / "build" / "nano" / "base" / "model"
BUILD = ROOT / "build" / "ablations"
RECORD = ROOT / "benchmarks" / "results" / "ablations.json"
PLOT = ROOT / "benchmarks" / "results" / "ablations.png"
SIZES = {"train": 4000, "validation": 100, "test": 500}
SEEDS = (2025, 2026, 2027)
EVERY_KIND: tuple[AnnotationKind, ...] = ("score", "partial_text", "expert")
# Of ten scenes: the paper's three kinds of data in about the proportions of its collection.
KIND_OF_DIGIT: tuple[AnnotationKind, ...] = (*["score"] * 6, *["partial_text"] * 2, *["expert"] * 2)


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
    num_seeds: int = 1


ROWS = (
    Row(experiment="4 i, 10 j", name="existing 100, ordered (ArtiMuse)", num_seeds=3),
    Row(experiment="4 a", name="without professionally selected images", kinds=("score", "partial_text")),
    Row(experiment="4 b", name="without images with score captions", kinds=("partial_text", "expert")),
    Row(experiment="4 c", name="without images with partial text captions", kinds=("score", "expert")),
    Row(experiment="4 d", name="language model in full", stage2={"language_model": "full"}),
    Row(experiment="4 e", name="joint training", is_joint=True),
    Row(experiment="4 f", name="score as text", stage2={"strategy": "score_as_text"}),
    Row(experiment="4 g, 10 a", name="5 levels", stage2={"strategy": "levels_5"}, num_seeds=3),
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
    scenes = BUILD / "scenes"
    if not (scenes / "test.parquet").exists():
        write_scenes(scenes, sizes=SIZES)
        for path in scenes.glob("*.parquet"):
            pq.write_table(with_kinds(pq.read_table(path)), path)
    results = []
    for row in ROWS:
        measured = [evaluated(config, scenes) for config in configs(row, scenes)]
        results.append(
            {
                "experiment": row.experiment,
                "name": row.name,
                **{
                    f"{name}_{what}": how([getattr(one, name) for one in measured])
                    for name in ("srcc", "plcc")
                    for what, how in (("median", statistics.median), ("lowest", min), ("highest", max))
                },
                "seeds": len(measured),
            }
        )
        RECORD.write_text(json.dumps(results, indent=2) + "\n")
    draw(results)


def with_kinds(table: pa.Table) -> pa.Table:
    """The last digit of a scene decides its kind; without a score if it is one of those with partial captions."""
    rows = table.to_pylist()
    for row in rows:
        row["kind"] = KIND_OF_DIGIT[int(row["image_id"][-1])] if row["split"] == "train" else "expert"
        if row["kind"] == "partial_text":
            row["score"] = None
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def configs(row: Row, scenes: Path) -> Iterator[TrainConfig]:
    """The last stage of each seed, after those before it have been trained."""
    scored: tuple[AnnotationKind, ...] = tuple(kind for kind in row.kinds if kind != "partial_text")
    for seed in SEEDS[: row.num_seeds]:
        shared: dict[str, Any] = {"seed": seed, "kinds": row.kinds}
        if row.is_joint:
            joint = {**shared, "targets": "both", "lora_rank": 128}
            yield trained(nano_text_pretrain(str(scenes), place(row, seed), base=str(BASE), **joint))
            continue
        stage1_name = "stage1-" + "-".join((*row.kinds, str(seed)))
        stage1 = nano_text_pretrain(str(scenes), str(BUILD / stage1_name), base=str(BASE), **shared)
        trained(stage1)
        stage2 = {**shared, "kinds": scored, **row.stage2}
        yield trained(nano_score_finetune(str(scenes), place(row, seed), base=f"{stage1.output}/model", **stage2))


def place(row: Row, seed: int) -> str:
    return str(BUILD / f"{row.name.replace(' ', '-').replace(',', '')}-{seed}")


def trained(config: TrainConfig) -> TrainConfig:
    console = Console(stderr=True)
    run(config, console).print(console)
    return config


def evaluated(config: TrainConfig, scenes: Path) -> Any:
    """On the test scenes, by the scores alone."""
    scorer = load(f"{config.output}/model", strategy=config.strategy, device="cpu")
    tests = list(choose_scenes("test", SIZES["test"]))
    paths = [scenes / "images" / "test" / f"{scene.number:07d}.jpg" for scene in tests]
    rows = [{"score": score.score, "texts_truncated": None} for score in scorer.score(paths)]
    return evaluate(tests, rows)


def draw(results: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    names = [f"{result['name']} ({result['experiment']})" for result in results][::-1]
    middle = [result["srcc_median"] for result in results][::-1]
    spread = [
        [result["srcc_median"] - result["srcc_lowest"] for result in results][::-1],
        [result["srcc_highest"] - result["srcc_median"] for result in results][::-1],
    ]
    axes.barh(names, middle, xerr=spread, color="tab:blue", alpha=0.7)
    axes.set_xlabel("SRCC on the test scenes; lines are the spread over seeds")
    figure.savefig(PLOT, dpi=120)


if __name__ == "__main__":
    main()
