"""Every command and every Python block of the README runs, unless it says why not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import encoded, picture

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```", re.DOTALL
)
BLOCKS = [match.groupdict() for match in BLOCK.finditer((ROOT / "README.md").read_text())]
RUN = [block for block in BLOCKS if block["reason"] is None]
# This test is part of it.
ITSELF = "make test\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory such as the README's reader has."""
    place = tmp_path_factory.mktemp("readme")
    (place / "photos").mkdir()
    (place / "photos" / "a.jpg").write_bytes(encoded(picture(90), "JPEG"))
    (place / "photos" / "b.png").write_bytes(encoded(picture(160)))
    return place


def test_the_first_two_commands_are_demo_and_test():
    assert [block["code"] for block in BLOCKS[:2]] == ["make demo\n", ITSELF]


def test_what_is_not_run_needs_something_that_is_not_here():
    reasons = [block["reason"] for block in BLOCKS if block["reason"]]
    assert all(re.search(r"GPU|cloud|Hub|cluster", reason) for reason in reasons)


@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_readme_commands_run_in_their_order(place):
    tools = Path(sys.executable).parent
    # Without this a command would join whatever Ray runs on the machine, the tests' own cluster for one.
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "RAY_ADDRESS": "local"}
    shutil.rmtree(ROOT / "demo-output", ignore_errors=True)
    for block in RUN:
        if block["code"] == ITSELF:
            continue
        command = (
            ["bash", "-euc", block["code"]] if block["language"] == "sh" else [sys.executable, "-c", block["code"]]
        )
        where = ROOT if block["code"].startswith("make ") else place
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{block['code']}\n{done.stdout}\n{done.stderr}"
    assert list((place / "table" / "scores").glob("*.parquet"))
