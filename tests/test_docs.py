"""What the pages say twice, they and the code say alike."""

import inspect
import re
import runpy
from pathlib import Path

from artimuse.cli import main
from artimuse.errors import ERROR_CODES
from artimuse.sources import open as open_module
from artimuse.sources.tables import TABLES

DOCS = Path(__file__).parents[1] / "docs"


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one."""
    return (DOCS / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_the_page_on_the_table_lists_every_error_code_and_no_other():
    listed = re.findall(r"^\| (`.*?) \|", section("table.md", "Error codes"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(listed))) == sorted(ERROR_CODES)


def test_help_page_and_messages_name_the_same_kinds_of_manifest(capsys):
    main(["score", "--help"])
    help_text = capsys.readouterr().out
    # .ndjson is another name of .jsonl.
    for suffix in set(TABLES) - {".ndjson"}:
        for said in (help_text, open_module._ACCEPTED, (DOCS / "inputs.md").read_text()):
            assert suffix in said


def test_the_page_on_runs_lists_the_exit_statuses_of_the_command_line():
    statuses = re.findall(r"(?:^|\s)(\d) ", inspect.getdoc(main) or "")
    assert statuses == ["0", "1", "2", "3", "4"]
    assert re.findall(r"^\| (\d) \|", section("runs.md", "Exit statuses"), re.MULTILINE) == statuses


def test_the_page_on_columns_is_the_dictionary_of_the_schemas():
    script = runpy.run_path(str(DOCS.parent / "scripts" / "data_dictionary.py"))
    assert (DOCS / "columns.md").read_text() == script["page"]()
