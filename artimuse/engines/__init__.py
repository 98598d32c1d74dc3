"""Who runs the network. To add an engine: one file, and its name in `ENGINES`."""

from collections.abc import Callable
from importlib import import_module

from artimuse.configs.engine import EngineConfig, EngineName
from artimuse.interfaces import Engine

# As "module:class", so that choosing one engine does not import the packages of the others.
ENGINES: dict[str, str] = {
    "transformers": "artimuse.engines.transformers:TransformersEngine",
    "vllm": "artimuse.engines.vllm:VllmEngine",
    "exact": "artimuse.engines.exact:ExactEngine",
    "fake": "artimuse.engines.fake:FakeEngine",
}

_REFERENCES: dict[str, EngineName] = {"transformers": "exact", "vllm": "exact"}
"""The engine that another is compared with; those without one are references, or have no network."""


def reference_of(name: EngineName) -> EngineName | None:
    return _REFERENCES.get(name)


def open_engine(config: EngineConfig) -> Engine:
    """Loads the network. Raises BadCheckpoint if the model is missing or not loadable."""
    return engine_class(config.name)(config)


def engine_class(name: EngineName) -> Callable[[EngineConfig], Engine]:
    """The class itself, which tells its `capabilities` before anything is loaded."""
    module, _, attribute = ENGINES[name].partition(":")
    found: Callable[[EngineConfig], Engine] = getattr(import_module(module), attribute)
    return found
