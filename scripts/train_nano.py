"""Makes the built-in model from nothing: `make nano`, under half an hour on two cores.

Random weights learn captions (standing in for the base's own training), then go through the paper's two stages with
the trainer that is for everybody. What is left out of the result is kept in build/nano for `nano_eval.py`.
"""

import argparse
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from random_nano import main as make_random
from rich.console import Console

from artimuse.attributes import ATTRIBUTES
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_blueprint
from artimuse.model.save import save_checkpoint
from artimuse.presets import nano_base, nano_score_finetune, nano_text_pretrain
from artimuse.scenes.table import write_scenes
from artimuse.schema import ANNOTATION_SCHEMA
from artimuse.train_config import TrainConfig
from artimuse.training.run import run

BUILD = Path(__file__).parents[1] / "build" / "nano"
NANO_DIRECTORY = Path(__file__).parents[1] / "artimuse" / "model" / "nano"
SIZES = {"train": 8000, "validation": 300}
RANDOM, SCENES, LANGUAGE, BASE, STAGE1, STAGE2 = "random", "scenes", "language", "base", "stage1", "stage2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=BUILD, help="what an earlier, interrupted call has done is kept")
    parser.add_argument("--without-stage1", action="store_true", help="also stage 2 alone, for comparison")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    build = options.build
    if not (build / RANDOM).exists():
        make_random(build / RANDOM)
    if not (build / LANGUAGE).exists():
        write_scenes(build / SCENES, sizes=SIZES)
        write_language(build / SCENES, build / LANGUAGE)
    train(nano_base(str(build / LANGUAGE), str(build / BASE), base=str(build / RANDOM)))
    scenes = str(build / SCENES)
    train(nano_text_pretrain(scenes, str(build / STAGE1), base=str(build / BASE / "model")))
    train(nano_score_finetune(scenes, str(build / STAGE2), base=str(build / STAGE1 / "model")))
    install(build / STAGE2 / "model", NANO_DIRECTORY)
    if options.without_stage1:
        train(nano_score_finetune(scenes, str(build / "stage2-alone"), base=str(build / BASE / "model")))


def train(config: TrainConfig) -> None:
    console = Console(stderr=True)
    run(config, console).print(console)


def write_language(scenes: Path, folder: Path) -> None:
    """Every picture with its caption, and every fourth again with a sentence about another one.

    A base knows how people speak of pictures before it is taught what is true of them.
    """
    folder.mkdir(parents=True)
    slugs = [attribute.slug for attribute in ATTRIBUTES]
    for path in sorted(scenes.glob("*.parquet")):
        rows = pq.read_table(path).to_pylist()
        random = np.random.RandomState(0)
        told = [
            {**rows[i], "evidence": rows[j][slugs[random.randint(len(slugs))]]}
            for i, j in zip(range(0, len(rows), 4), random.permutation(len(rows)))
        ]
        both = [{**row, "uri": str((scenes / row["uri"]).absolute())} for row in (*rows, *told)]
        pq.write_table(pa.Table.from_pylist(both, schema=ANNOTATION_SCHEMA), folder / path.name)


def install(model: Path, directory: Path) -> None:
    """In bfloat16, at half the size; in place of what is there."""
    blueprint = read_blueprint(find_checkpoint(str(model)))
    unfinished = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    save_checkpoint(
        unfinished,
        blueprint.config,
        blueprint.tokenizer,
        blueprint.template,
        blueprint.weights(torch.float32, "cpu"),
        layout="native",
        dtype=torch.bfloat16,
    )
    for path in unfinished.iterdir():
        path.replace(directory / path.name)
    unfinished.rmdir()


if __name__ == "__main__":
    main()
