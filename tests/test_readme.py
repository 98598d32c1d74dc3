"""Every command and every Python block of the README and of the pages in docs/ runs, unless it says why not."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artimuse.cli import main
from tests.pictures import encoded, picture

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```", re.DOTALL
)
# This test is part of it.
ITSELF = "make test\n"
TRAINING = ROOT / "docs" / "training.md"
LINK = re.compile(r"\]\(([^)#:]+)\)")


def blocks(page: Path) -> list[dict[str, str]]:
    return [match.groupdict() for match in BLOCK.finditer(page.read_text())]


IN_PROCESS = [page for page in PAGES[1:] if page != TRAINING and any(not block["reason"] for block in blocks(page))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory such as a reader has."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(encoded(picture(90), "JPEG"))
    (tmp_path / "photos" / "b.png").write_bytes(encoded(picture(160)))
    return tmp_path


def test_the_first_two_commands_are_demo_and_test():
    assert [block["code"] for block in blocks(PAGES[0])[:2]] == ["make demo\n", ITSELF]


def test_what_is_not_run_needs_something_that_is_not_here():
    reasons = [block["reason"] for page in PAGES for block in blocks(page) if block["reason"]]
    assert all(re.search(r"GPU|cloud|Hub|cluster", reason) for reason in reasons)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_the_readme_names_every_page():
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(LINK.findall(PAGES[0].read_text()))


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [PAGES[0], pytest.param(TRAINING, marks=pytest.mark.long)], ids=["README", "training"])
def test_commands_run_as_a_reader_runs_them(page: Path, folder: Path):
    """Each in a process of its own, with a local Ray."""
    tools = Path(sys.executable).parent
    # Without this a command would join whatever Ray runs on the machine, the tests' own cluster for one.
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "RAY_ADDRESS": "local"}
    shutil.rmtree(ROOT / "demo-output", ignore_errors=True)
    for block in blocks(page):
        if block["reason"] or block["code"] == ITSELF:
            continue
        command = (
            ["bash", "-euc", block["code"]] if block["language"] == "sh" else [sys.executable, "-c", block["code"]]
        )
        where = ROOT if block["code"].startswith("make ") else folder
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{block['code']}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", IN_PROCESS, ids=lambda page: page.stem)
def test_commands_run_in_this_process(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Their examples need no Ray: with `--workers 0` they are what `artimuse` does in a process of its own."""
    monkeypatch.chdir(folder)
    for block in blocks(page):
        if block["reason"]:
            continue
        if block["language"] == "python":
            exec(block["code"], {})
            continue
        for line in block["code"].splitlines():
            command, *arguments = shlex.split(line)
            if command == "artimuse":
                assert main(arguments) == 0, line
            else:
                subprocess.run([sys.executable if command == "python" else command, *arguments], check=True)
