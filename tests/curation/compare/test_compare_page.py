"""The page of a comparison as text, and in a browser."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from artimuse.cli import main
from artimuse.configs.compare import CompareConfig
from artimuse.curation.compare.comparison import CompareReport
from artimuse.curation.compare.run import run
from artimuse.errors import BadInput
from tests.curation.compare.comparing import PROMPT, of_other_files, scores
from tests.curation.report.report_pages import HOSTILE, Page, numbers
from tests.curation.score_tables import write_table
from tests.pictures import good_folder


def write_page(directory: Path, a: str = "a", b: str = "b", **asked: Any) -> tuple[Page, CompareReport]:
    to = str(directory / "page.html")
    config = CompareConfig(table_a=str(directory / a), table_b=str(directory / b), to=to, **asked)
    report = run(config, Console(file=io.StringIO()))
    assert report.page == to
    return Page(Path(to).read_text()), report


@pytest.fixture
def generators(tmp_path: Path) -> Path:
    """Two generators with two images of each of 14 prompts, the last of which is hostile."""
    prompts = [*(f"prompt {number // 2}" for number in range(26)), HOSTILE, HOSTILE]
    write_table(tmp_path / "a", scores(*[50.0] * 28, prompt=prompts), passthrough=PROMPT)
    rows = scores(*(36.5 + number // 2 * 2 for number in range(26)), 100, 100, prompt=prompts)
    write_table(tmp_path / "b", of_other_files(rows), passthrough=PROMPT)
    return tmp_path


def test_the_page_has_the_verdict_the_tables_and_the_plots(generators: Path):
    page, report = write_page(generators)
    said = numbers(page)
    assert report.verdict[1:] in said
    assert "14 prompts by prompt" in said
    assert str(generators / "a") in said
    bars = page.scripts["plots"]["plot-both"]["data"]["values"]
    for name in "AB":
        assert sum(bar["share"] for bar in bars if bar["table"] == name) == pytest.approx(1, abs=1e-4)
    [differences, _, interval, mean] = page.scripts["plots"]["plot-differences"]["layer"]
    datasets = page.scripts["plots"]["plot-differences"].get("datasets", {})
    values = [layer["data"].get("values") or datasets[layer["data"]["name"]] for layer in (differences, interval, mean)]
    assert sum(bar["count"] for bar in values[0]) == 14
    assert values[1][0]["low"] == report.difference.low
    assert values[2][0]["mean"] == report.difference.mean


def test_every_difference_is_within_its_bar(generators: Path):
    page, report = write_page(generators)
    bars = page.scripts["plots"]["plot-differences"]["layer"][0]["data"]["values"]
    largest = report.largest_better[0].difference
    assert any(bar["low"] <= largest < bar["high"] for bar in bars)
    assert len(bars) <= 102


def test_images_of_both_tables_stand_side_by_side(generators: Path):
    page, report = write_page(generators)
    labels = [str(attributes["aria-label"]) for tag, attributes in page.tags if "data-image" in attributes]
    assert len(labels) == 4 * (len(report.largest_better) + len(report.largest_worse)) == 40
    assert [label[0] for label in labels[:4]] == ["A", "B", "A", "B"]
    assert labels[4:8] == [
        "A: 24.jpg, score 50.0",
        "B: 24.jpg, score 60.5",
        "A: 25.jpg, score 50.0",
        "B: 25.jpg, score 60.5",
    ]
    details = page.scripts["details"]["images"]
    assert {detail["facts"][0][1] for detail in details} == {"A", "B"}


def test_hostile_prompts_are_text(generators: Path):
    page, _ = write_page(generators)
    text = (generators / "page.html").read_text()
    assert not set(text) & set("\x00\x1b")
    assert "<script>alert(1)" not in text
    assert page.number_of("script") == 4
    assert "<script>alert(1)</script>" in numbers(page)


def test_equal_tables_have_no_plot_of_differences_and_unpaired_ones_neither(generators: Path):
    page, _ = write_page(generators, "a", "a")
    assert "All images have the same score in both tables." in numbers(page)
    assert list(page.scripts["plots"]) == ["plot-both"]
    write_table(generators / "c", of_other_files(scores(1, 2, 3)))
    page, _ = write_page(generators, "a", "c")
    assert "neither files nor prompts match" in numbers(page)
    assert list(page.scripts["plots"]) == ["plot-both"]
    assert page.scripts["details"]["images"] == []


def test_pictures_are_in_the_page(tmp_path: Path):
    for name, count in (("a", 5), ("b", 4)):
        photos = good_folder(tmp_path / f"photos {name}", count)
        assert main(["score", str(photos), str(tmp_path / name), "--engine", "fake", "--workers", "0"]) == 0
    page, report = write_page(tmp_path, by="image_id")
    assert report.pairs.num_pairs == 4
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert sources
    assert all(str(source).startswith("data:image/webp;base64,") for source in sources)


def test_a_page_of_another_kind_is_refused_before_anything_is_compared(generators: Path):
    config = CompareConfig(table_a=str(generators / "a"), table_b=str(generators / "b"), to="page.pdf")
    with pytest.raises(BadInput, match=r"--to page.pdf: a page is an HTML file; name it page.pdf.html"):
        run(config, Console(file=io.StringIO()))


def test_an_earlier_page_is_replaced_and_any_other_file_is_not(generators: Path):
    write_page(generators)
    write_page(generators)
    (generators / "page.html").write_text("<html>my diary</html>")
    with pytest.raises(BadInput, match="a file that is no such page is there"):
        write_page(generators)
