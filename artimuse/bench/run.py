"""`artimuse bench` on the command line."""

import torch
from rich.console import Console

from artimuse.bench.measure import Workload, measure
from artimuse.bench.report import BenchReport
from artimuse.configs.bench import BenchConfig
from artimuse.engines.memory import is_out_of_memory
from artimuse.errors import EngineFailed


def run(config: BenchConfig, console: Console) -> BenchReport:
    """Raises BadCheckpoint if the model is missing or not loadable, EngineFailed if the machine cannot run it."""
    del console  # what there is to see on the way is logged
    if config.device == "cuda" and not torch.cuda.is_available():
        raise EngineFailed("--device cuda: torch finds no CUDA device here")
    workload = Workload(
        num_images=config.images,
        new_tokens=config.new_tokens,
        num_rounds=config.rounds,
        official_images=config.official_images,
    )
    try:
        return measure(config.engine_config, workload)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise EngineFailed(f"{config.model}: out of memory; a smaller --batch-size or fewer --images help") from error
