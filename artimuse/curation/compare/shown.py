"""Texts of strangers in one line of a terminal."""

from rich.cells import cell_len, set_cell_size

from artimuse.runs.terminal import without_controls


def one_line(text: str, num_columns: int) -> str:
    r"""At most so many columns of the text, then `…`; white space as one space, what is no letter or sign as `\x1b`."""
    line = without_controls(" ".join(text[: 8 * num_columns].split()))
    # Marks on letters take no columns, however many they are.
    line = line[: 2 * num_columns]
    if cell_len(line) <= num_columns and len(text) <= 8 * num_columns:
        return line
    return set_cell_size(line, num_columns - 1).rstrip() + "…"
