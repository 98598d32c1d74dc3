"""Who runs the network. To add an engine: one file, and its name in `ENGINES`."""

from importlib import import_module

from artimuse.configs import EngineConfig
from artimuse.interfaces import Engine

# As "module:class", so that choosing one engine does not import the packages of the others.
ENGINES: dict[str, str] = {
    "transformers": "artimuse.engines.transformers:TransformersEngine",
    "fake": "artimuse.engines.fake:FakeEngine",
}


def open_engine(config: EngineConfig) -> Engine:
    """Loads the network. Raises BadCheckpoint if the model is missing or not loadable."""
    module, _, name = ENGINES[config.name].partition(":")
    engine: Engine = getattr(import_module(module), name)(config)
    return engine
