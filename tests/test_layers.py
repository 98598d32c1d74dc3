"""Imports run downwards: the layers of the package as a test."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "artimuse"

# Highest first. A module may import modules of its own layer's package and of the layers below.
LAYERS = (
    ("cli", "demo"),
    ("training",),
    ("pipelines", "bench"),
    ("parity",),
    ("scorer",),
    ("engines", "datasets", "sinks", "scenes"),
    ("model", "sources"),
    ("io",),
    ("scoring", "images"),
    ("configs", "schema"),
    ("prompts",),
    ("attributes", "interfaces", "errors", "progress", "metrics"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ONLY_WITH_RAY = {"pipelines", "training"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules() -> list[tuple[str, Path]]:
    return [
        (path.relative_to(PACKAGE).with_suffix("").parts[0], path)
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "__init__.py"
    ]


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} == set(LEVEL)


def test_imports_point_down_the_layers():
    upward = [
        f"{path.relative_to(PACKAGE)} imports {target}"
        for name, path in modules()
        for target in imports(path)
        if target.startswith("artimuse.") and (below := target.split(".")[1]) != name and LEVEL[below] <= LEVEL[name]
    ]
    assert upward == []


def test_only_pipelines_and_the_trainer_import_ray():
    importers = {name for name, path in modules() if any(t.split(".")[0] == "ray" for t in imports(path))}
    assert importers == ONLY_WITH_RAY
