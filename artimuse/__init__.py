"""ArtiMuse: aesthetics scores and expert texts for image collections, and the trainer of the model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artimuse.configs.score import ScoreConfig as ScoreConfig
    from artimuse.errors import ArtiMuseError as ArtiMuseError
    from artimuse.errors import BadCheckpoint as BadCheckpoint
    from artimuse.errors import UnreadableImage as UnreadableImage
    from artimuse.scorer import Score as Score
    from artimuse.scorer import Scorer as Scorer
    from artimuse.scorer import load as load

__version__ = "0.1.0"

# Resolved on first use: `import artimuse` loads neither torch nor ray.
_HOMES = {
    "ArtiMuseError": "artimuse.errors",
    "BadCheckpoint": "artimuse.errors",
    "Score": "artimuse.scorer",
    "ScoreConfig": "artimuse.configs.score",
    "Scorer": "artimuse.scorer",
    "UnreadableImage": "artimuse.errors",
    "load": "artimuse.scorer",
}
__all__ = ["ArtiMuseError", "BadCheckpoint", "Score", "ScoreConfig", "Scorer", "UnreadableImage", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'artimuse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
