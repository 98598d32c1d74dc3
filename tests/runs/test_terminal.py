import io
import logging

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artimuse.cli import main
from artimuse.runs.terminal import LogFormatter, _WithoutControls, open_console, without_controls

TITLE = "\x1b]0;owned\x07"
"""Sets the title of the window."""


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\x7f", "\r", "\x08", "\x00"])
def test_a_control_character_is_shown_as_text(character):
    assert without_controls(f"a{character}b\tc\nd é☃") == f"a\\x{ord(character):02x}b\tc\nd é☃"


@pytest.mark.parametrize("character", "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_a_character_that_turns_the_direction_is_shown_as_text(character):
    """Else what follows it, such as the end of a file's name, reads backwards. Letters are left alone."""
    letters = "\u05e9\u05dc\u05d5\u05dd \u0633\u0644\u0627\u0645 \U0001f468\u200d\U0001f469"
    assert without_controls(f"a{character}gpj.exe {letters}") == f"a\\u{ord(character):04x}gpj.exe {letters}"


def test_errors_and_log_lines_cannot_turn_the_direction(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "a\u202egpj")]) == 1
    assert "a\\u202egpj" in capsys.readouterr().err
    record = logging.LogRecord("artimuse", logging.INFO, "", 0, "left out image=%s", ("a\u202egpj",), None)
    assert LogFormatter("%(message)s").format(record) == "left out image=a\\u202egpj"


def test_a_message_that_quotes_a_file_cannot_control_the_terminal(tmp_path, capsys):
    (tmp_path / "list.csv").write_text(f"uri\nwebhdfs://{TITLE}/a.jpg\n")
    assert main(["score", str(tmp_path / "list.csv"), str(tmp_path / "out"), "--engine", "fake", "--workers", "0"]) == 1
    shown = capsys.readouterr().err
    assert "\\x1b]0;owned" in shown
    assert "\x1b" not in shown


def test_tables_keep_their_colours_and_lose_the_controls_in_their_cells():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, color_system="standard")
    console.push_render_hook(_WithoutControls())
    table = Table(show_header=False)
    table.add_row(Text(f"a{TITLE}", "yellow"))
    console.print(table)
    shown = stream.getvalue()
    assert "\\x1b]0;owned" in shown
    assert "\x1b]" not in shown
    assert "\x1b[33m" in shown, "yellow"


def test_log_lines_are_cleaned_too():
    record = logging.LogRecord("artimuse", logging.INFO, "", 0, "left out image=%s", (TITLE,), None)
    assert LogFormatter("%(message)s").format(record) == "left out image=\\x1b]0;owned\\x07"


def test_what_looks_like_the_name_of_an_emoji_is_left_alone(capsys):
    open_console().print("/photos/a:x:b", markup=False)
    assert capsys.readouterr().err == "/photos/a:x:b\n"
