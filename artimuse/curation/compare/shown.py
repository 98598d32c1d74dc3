"""Texts of strangers in one line of a terminal."""

import re

from rich.cells import cell_len, set_cell_size

from artimuse.runs.terminal import without_controls

# They turn the direction of whatever follows them, also outside the text.
_DIRECTIONS = re.compile(r"[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str, num_columns: int) -> str:
    r"""At most so many columns of the text, then `…`; white space as one space, what is no letter or sign as `\x1b`."""
    line = " ".join(text[: 8 * num_columns].split())
    line = _DIRECTIONS.sub(lambda match: f"\\u{ord(match[0]):04x}", without_controls(line))
    # Marks on letters take no columns, however many they are.
    line = line[: 2 * num_columns]
    if cell_len(line) <= num_columns and len(text) <= 8 * num_columns:
        return line
    return set_cell_size(line, num_columns - 1).rstrip() + "…"
