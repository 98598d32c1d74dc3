"""The terminal: what comes from files, servers and tables is shown as text, and cannot control it."""

import logging
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

LOG_WIDTH = 120
"""Columns of tables and messages in a log file."""

# The terminal's own sequences begin with one of the first; the others turn the direction of whatever follows them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def without_controls(text: str) -> str:
    r"""Control characters other than tab and line feed as `\x1b`, those that turn the direction of text as `\u202e`."""
    return _CONTROL.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


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
