"""Files and functions stay small enough to be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
TOO_LONG: dict[str, str] = {}
"""What may be longer, with the reason."""


def files() -> Iterator[Path]:
    for folder in ("artimuse", "jobs", "scripts", "benchmarks", "tests"):
        yield from (ROOT / folder).rglob("*.py")


def long_ones() -> Iterator[str]:
    for path in files():
        text = path.read_text()
        name = path.relative_to(ROOT).as_posix()
        if text.count("\n") > MAX_FILE_LINES:
            yield name
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
            ):
                yield f"{name}:{node.name}"


def test_no_file_and_no_function_is_too_long():
    assert set(long_ones()) == TOO_LONG.keys()
