"""Makes the built-in model from nothing: `make nano`.

Random weights learn captions and the form of answers (standing in for a base's own training), then go through the
paper's two stages; all with the trainer that is for everybody. Every stage is kept in build/nano: `nano_eval.py` and
`benchmarks/ablations.py` go on from there.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from random_nano import main as make_random
from rich.console import Console

from artimuse.configs.presets import nano_base, nano_score_finetune, nano_text_pretrain
from artimuse.configs.train import TrainConfig
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec
from artimuse.model.save import save_checkpoint
from artimuse.scenes.language import write_language
from artimuse.scenes.table import write_scenes
from artimuse.training.train import run

BUILD = Path(__file__).parents[1] / "build" / "nano"
NANO_DIRECTORY = Path(__file__).parents[1] / "artimuse" / "model" / "nano"
SIZES = {"train": 6000, "validation": 300}
NOTE = (
    "nano is a demonstration, trained on synthetic scenes of coloured shapes, and not a judge of photographs: what it"
    " says of any other picture means nothing."
)
RANDOM, SCENES, LANGUAGE = "random", "scenes", "language"
BASE, STAGE1, STAGE2, ALONE = "base", "stage1", "stage2", "stage2-alone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=BUILD, help="what an earlier, interrupted call has done is kept")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    build = options.build
    made_once(build / RANDOM, make_random)
    made_once(build / SCENES, lambda folder: write_scenes(folder, sizes=SIZES))
    made_once(build / LANGUAGE, lambda folder: write_language(build / SCENES, folder))
    train(nano_base(str(build / LANGUAGE), str(build / BASE), base=str(build / RANDOM)))
    scenes = str(build / SCENES)
    train(nano_text_pretrain(scenes, str(build / STAGE1), base=str(build / BASE / "model")))
    train(nano_score_finetune(scenes, str(build / STAGE2), base=str(build / STAGE1 / "model")))
    install(build / STAGE2 / "model", NANO_DIRECTORY)
    # Not part of the model: what stage 1 is worth.
    train(nano_score_finetune(scenes, str(build / ALONE), base=str(build / BASE / "model")))


def made_once(folder: Path, make: Callable[[Path], object]) -> None:
    """What is there is whole, even if an earlier call was cut short."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(folder)


def train(config: TrainConfig) -> None:
    console = Console(stderr=True)
    run(config, console).print(console)


def install(model: Path, directory: Path) -> None:
    """Puts the model in place of what is there: in bfloat16, at half the size, and with a word of warning."""
    spec = read_spec(find_checkpoint(str(model)))
    unfinished = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    weights = spec.weights(torch.float32, "cpu")
    save_checkpoint(unfinished, spec, weights, layout="native", dtype=torch.bfloat16)
    config = json.loads((unfinished / "config.json").read_text())
    (unfinished / "config.json").write_text(json.dumps(config | {"artimuse_note": NOTE}, indent=2) + "\n")
    (directory / "README.md").unlink(missing_ok=True)  # of other weights; `nano_eval.py` writes the card
    for path in unfinished.iterdir():
        path.replace(directory / path.name)
    unfinished.rmdir()


if __name__ == "__main__":
    main()
