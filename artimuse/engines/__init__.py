"""Who runs the network. To add an engine: one file, and its name in `ENGINES`."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from artimuse.configs.engine import EngineConfig, EngineName
from artimuse.interfaces import Engine

if TYPE_CHECKING:
    from artimuse.model.load import Network

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


def open_engine(config: EngineConfig, network: "Network | None" = None) -> Engine:
    """Loads the network, unless one of `shared_network` is given.

    Raises BadCheckpoint if the model is missing or not loadable.
    """
    make = engine_class(config.name)
    return make(config) if network is None else make(config, network)


def shared_network(engine: Engine, name: EngineName) -> "Network | None":
    """The network of this engine, if the one of that name can run it too; None if it must load its own."""
    from artimuse.engines.network import NetworkEngine

    other = engine_class(name)
    if not isinstance(engine, NetworkEngine) or not (isinstance(other, type) and issubclass(other, NetworkEngine)):
        return None
    return engine.network


def engine_class(name: EngineName) -> Callable[..., Engine]:
    """The class itself, which tells its `capabilities` before anything is loaded."""
    module, _, attribute = ENGINES[name].partition(":")
    found: Callable[..., Engine] = getattr(import_module(module), attribute)
    return found
