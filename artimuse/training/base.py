"""What a run starts from: the base, with the tokens that its strategy adds to the vocabulary."""

from artimuse.configs.train import TrainConfig
from artimuse.model.find import Checkpoint, find_checkpoint
from artimuse.model.load import Blueprint, read_blueprint
from artimuse.scoring import STRATEGIES


def open_base(config: TrainConfig, checkpoint: Checkpoint | None = None) -> Blueprint:
    """Raises BadCheckpoint if there is no such base, or none that can be loaded."""
    blueprint = read_blueprint(checkpoint or find_checkpoint(config.base))
    if config.targets in ("scores", "both"):
        return blueprint.with_tokens(STRATEGIES[config.strategy].new_tokens)
    return blueprint
