"""The command line. What it imports is seen in processes of their own: in this one other tests have imported it."""

import subprocess
import sys

import pytest

from artimuse import __version__
from artimuse.cli import VERBS, main

HEAVY = ("torch", "ray", "transformers", "deepspeed", "vllm", "duckdb")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import artimuse",
        "import artimuse; dir(artimuse)",
        "from artimuse.cli import main; main(['--help'])",
        "from artimuse.cli import main; main(['score', '--help'])",
        "from artimuse.cli import main; main(['demo', '--help'])",
        "from artimuse.cli import main; main(['bench', '--help'])",
        "from artimuse.cli import main; main(['train', '--preset', 'paper_text_pretrain', '--help'])",
        "from artimuse.cli import main; main(['export', '--help'])",
    ],
)
def test_help_and_import_load_nothing_heavy(statement):
    code = f"import sys; {statement}; print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(code).splitlines()[-1] == "LOADED []"


def test_overview_lists_every_verb(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"artimuse {verb}" in shown for verb in VERBS)


def test_version_is_the_package_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_unknown_verb_is_refused_with_the_known_ones(capsys):
    assert main(["scoer"]) == 2
    shown = capsys.readouterr().err
    assert "scoer" in shown
    assert "score" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["in"], "OUTPUT"),
        (["in", "out", "--workers", "0:2"], "--workers 0:2"),
        (["in", "out", "--workers", "3:2"], "--workers 3:2"),
        (["in", "out", "--max-failed", "2"], "--max-failed 2"),
        (["in", "out", "--formats", "JPEG,JPG"], "JPG"),
        (["in", "out", "--device", "cuda", "--num-gpus", "0"], "--num-gpus is 0"),
        (["in", "out", "--colour"], "--colour"),
    ],
)
def test_bad_arguments_exit_with_2_and_name_the_argument(arguments, complaint, capsys):
    assert main(["score", *arguments]) == 2
    shown = capsys.readouterr()
    assert complaint in " ".join((shown.err + shown.out).replace("│", " ").split())


def test_expected_errors_are_one_line_and_exit_with_1(tmp_path, capsys):
    assert main(["score", str(tmp_path / "missing"), str(tmp_path / "out"), "--engine", "fake"]) == 1
    shown = capsys.readouterr().err
    assert "error:" in shown
    assert "missing" in shown
    assert "Traceback" not in shown


def test_a_package_that_is_not_installed_is_named_with_the_extra_that_has_it():
    code = (
        "import sys; sys.modules['peft'] = None; from artimuse.cli import main;"
        " print(main(['train', 'a', 'b', '--preset', 'paper_text_pretrain']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1"
    assert done.stderr.strip() == "error: artimuse train needs the package peft: pip install 'artimuse[train]'"
