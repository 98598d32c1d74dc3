"""How a model's answer becomes a number. To add a strategy: an instance, and its name in `STRATEGIES`."""

from artimuse.interfaces import ScoreStrategy
from artimuse.scoring.text import SCORE_AS_TEXT
from artimuse.scoring.tokens import EXISTING_25, EXISTING_50, EXPANDED, LEVELS_5, ORDERED_100, UNORDERED_100

_ALL: tuple[ScoreStrategy, ...] = (
    ORDERED_100,
    UNORDERED_100,
    EXISTING_50,
    EXISTING_25,
    LEVELS_5,
    SCORE_AS_TEXT,
    *EXPANDED,
)
STRATEGIES: dict[str, ScoreStrategy] = {strategy.name: strategy for strategy in _ALL}
