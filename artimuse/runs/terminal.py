"""The terminal: what comes from files, servers and tables is shown as text, and cannot control it."""

import logging
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

LOG_WIDTH = 120
"""Columns of tables and messages in a log file."""

# The terminal's own sequences begin with one of these.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    r"""Control characters other than tab and line feed as `\x1b`."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def open_console() -> Console:
    """The console for messages, on stderr. A path such as `a:x:b` stays as it is."""
    console = Console(stderr=True, emoji=False)
    if not console.is_terminal:
        console = Console(stderr=True, emoji=False, width=LOG_WIDTH)
    console.push_render_hook(_WithoutControls())
    return console


class LogFormatter(logging.Formatter):
    """For log lines that do not go through a console."""

    def format(self, record: logging.LogRecord) -> str:
        return without_controls(super().format(record))


class _WithoutControls(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Shown:
    """A renderable whose own text has no control characters; rich adds colours and cursor movements afterwards."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._cleaned(console.render(self.renderable, options))

    def _cleaned(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        for segment in segments:
            yield segment if segment.control else Segment(without_controls(segment.text), segment.style)
