"""Imports go down the layers of the package, and no file imports itself through others."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "artimuse"

# Highest first. A folder imports from lower layers only: none of its own layer, and none above.
LAYERS = (
    ("cli", "demo"),
    ("pipelines", "training", "bench", "scenes", "curation"),
    ("datasets",),
    ("sources",),
    ("table", "scorer"),
    ("engines",),
    ("model", "runs"),
    ("io",),
    ("images", "scoring"),
    ("configs", "prompts"),
    ("interfaces", "errors", "attributes"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITH_RAY = {"pipelines", "training", "runs"}


def module_name(path: Path) -> str:
    return ".".join(["artimuse", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module_name(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
"""Without `artimuse` itself, whose public names are looked up when they are asked for, and `python -m artimuse`."""
del MODULES["artimuse"], MODULES["artimuse.__main__"]


def imports(module: str) -> Iterator[str]:
    """Modules that it imports anywhere, also within a function; of this package the file that is meant."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def folder(module: str) -> str:
    return module.split(".")[1]


def test_every_folder_has_a_layer_and_there_are_few_layers():
    assert {folder(module) for module in MODULES} == set(LEVEL)
    assert len(LAYERS) < 12


def test_imports_point_down_the_layers():
    upward = [
        f"{module} imports {target}"
        for module in MODULES
        for target in imports(module)
        if target in MODULES and folder(target) != folder(module) and LEVEL[folder(target)] <= LEVEL[folder(module)]
    ]
    assert upward == []


def test_no_file_imports_itself_through_others():
    ours = {module: set(imports(module)) & MODULES.keys() for module in MODULES}
    while free := [module for module, targets in ours.items() if not targets & ours.keys()]:
        for module in free:
            del ours[module]
    assert list(ours) == [], "in a circle, or above one"


def test_only_these_rooms_import_ray():
    assert {folder(module) for module in MODULES if any(t.split(".")[0] == "ray" for t in imports(module))} == WITH_RAY


def test_folders_with_ray_first_import_what_sets_it_up():
    """`artimuse.runs` sets a variable that Ray reads on import."""
    assert all("artimuse.runs" in imports(f"artimuse.{folder}") for folder in WITH_RAY - {"runs"})
