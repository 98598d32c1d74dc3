"""Groups of options: what several commands have, and how a command shows its groups.

A configuration is one flat dataclass that inherits from its groups, `...Options` classes without checks of their own.
On the command line each group stands under its own heading, with its docstring. There, line breaks in an option's
docstring are kept: each line is a sentence.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Any, TypeVar

import tyro

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a command tells."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the report as JSON on stdout."""
    debug: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show tracebacks, and the logs of Ray and its workers."""


def parse(config_class: type[Config], arguments: Sequence[str], *, prog: str, default: Config | None = None) -> Config:
    """The configuration that the arguments ask for.

    Raises SystemExit after --help, and after telling what is wrong with the arguments.
    """
    if len(config_class.__bases__) < 2:
        return tyro.cli(config_class, prog=prog, args=arguments)
    grouped: Any = _grouped(config_class, default)
    config: Config = tyro.cli(grouped, prog=prog, args=arguments, description=inspect.getdoc(config_class)).config
    return config


def _grouped(config_class: type[Config], default: Config | None) -> Any:
    """A class with a field for each group, which makes the configuration of them."""

    def make_config(self: Any) -> None:
        groups = [getattr(self, group.name) for group in fields(self)]
        values = {option.name: getattr(group, option.name) for group in groups for option in fields(group)}
        self.config = config_class(**values)

    def as_field(group: Any) -> tuple[Any, ...]:
        named = (group.__name__.removesuffix("Options").lower(), Annotated[group, tyro.conf.OmitArgPrefixes])
        if default is None:
            return named
        values = {option.name: getattr(default, option.name) for option in fields(group)}
        return *named, field(default_factory=lambda: group(**values))

    groups = [as_field(group) for group in config_class.__bases__]
    return make_dataclass(config_class.__name__, groups, namespace={"__post_init__": make_config})
