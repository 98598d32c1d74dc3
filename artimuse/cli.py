"""The command line: a verb is a configuration class and a function `run(config, console) -> report`."""

import json
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from artimuse import __version__
from artimuse.configs.options import parse
from artimuse.errors import ArtiMuseError, Interrupted
from artimuse.runs.terminal import LogFormatter, open_console

# verb -> (configuration class, function), as "module:name" so that --help loads neither torch nor ray.
VERBS: dict[str, tuple[str, str]] = {
    "score": ("artimuse.configs.score:ScoreConfig", "artimuse.pipelines.score:run"),
    "verify": ("artimuse.configs.verify:VerifyConfig", "artimuse.table.verify:run"),
    "select": ("artimuse.configs.select:SelectConfig", "artimuse.curation.select.run:run"),
    "report": ("artimuse.configs.report:PageConfig", "artimuse.curation.report.run:run"),
    "compare": ("artimuse.configs.compare:CompareConfig", "artimuse.curation.compare.run:run"),
    "materialize": ("artimuse.configs.materialize:MaterializeConfig", "artimuse.curation.materialize.run:run"),
    "train": ("artimuse.configs.train:TrainConfig", "artimuse.training.train:run"),
    "export": ("artimuse.configs.export:ExportConfig", "artimuse.training.export.export:run"),
    "bench": ("artimuse.configs.bench:BenchConfig", "artimuse.bench.run:run"),
    "demo": ("artimuse.configs.demo:DemoConfig", "artimuse.demo:run"),
}


# Where the defaults of a verb's options come from, if they depend on its arguments.
DEFAULTS = {"train": "artimuse.configs.presets:asked_for"}
# Extras of pyproject.toml whose packages a verb needs.
EXTRAS = {"train": "train", "export": "train"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status.

    0 done; 1 an expected error, in one line; 2 bad arguments; 3 finished with more failed rows than --max-failed
    allows; 4 interrupted, resumable.
    """
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb in ("-h", "--help"):
        print(_overview())  # noqa: T201 - the answer to --help belongs on stdout
        return 0
    if verb == "--version":
        print(__version__)  # noqa: T201
        return 0
    console = open_console()
    if verb not in VERBS:
        console.print(f"artimuse: unknown command {verb!r}; one of {', '.join(VERBS)}", markup=False)
        return 2
    config_class, function = VERBS[verb]
    default = _resolve(DEFAULTS[verb])(rest) if verb in DEFAULTS else None
    try:
        config = parse(_resolve(config_class), rest, prog=f"artimuse {verb}", default=default)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    _configure_logging(console, debug=config.debug)
    try:
        run = _resolve(function)
    except ModuleNotFoundError as error:
        if verb not in EXTRAS:
            raise
        hint = f"pip install 'artimuse[{EXTRAS[verb]}]'"
        console.print(f"error: artimuse {verb} needs the package {error.name}: {hint}", markup=False, soft_wrap=True)
        return 1
    return _run(run, config, console)


def _run(function: Any, config: Any, console: Console) -> int:
    try:
        report = function(config, console)
    except (ArtiMuseError, KeyboardInterrupt) as error:
        if config.debug:
            console.print_exception()
        if isinstance(error, (Interrupted, KeyboardInterrupt)):
            console.print(f"interrupted: {error}" if str(error) else "interrupted", markup=False)
            return 4
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    report.print(console)
    if config.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))  # noqa: T201 - --json is for stdout
    status: int = report.exit_status
    return status


def _overview() -> str:
    lines = [f"artimuse {__version__}: aesthetics scores and texts for image collections", ""]
    for verb, (config_class, _) in VERBS.items():
        summary = (_resolve(config_class).__doc__ or "").splitlines()[0]
        lines.append(f"  artimuse {verb:<11} {summary}")
    return "\n".join([*lines, "", "artimuse COMMAND --help lists the options of a command."])


def _resolve(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _configure_logging(console: Console, *, debug: bool) -> None:
    """On a terminal through rich, so that log lines and the progress bar do not overwrite each other."""
    handler = RichHandler(console=console, show_path=False, show_level=debug) if console.is_terminal else None
    stream = logging.StreamHandler()
    stream.setFormatter(LogFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", datefmt="%H:%M:%S", handlers=[handler or stream])
    logging.getLogger("artimuse").setLevel(logging.DEBUG if debug else logging.INFO)
    if not debug:
        # It names no file; what is wrong with one is in its row.
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
