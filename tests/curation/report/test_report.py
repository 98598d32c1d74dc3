"""The page about score tables as text; how it looks and works in a browser is in `test_report_page.py`."""

import hashlib
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from artimuse.cli import main
from artimuse.configs.report import PageConfig
from artimuse.configs.select import SelectConfig
from artimuse.curation.report import facts as page_facts
from artimuse.curation.report.run import run
from artimuse.curation.select.run import run as select
from artimuse.errors import BadInput
from tests.curation.report.report_pages import GENERATOR, HOSTILE, Page, numbers, sixty_images, write_page
from tests.curation.score_tables import write_table
from tests.pictures import encoded, picture


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    sixty_images(tmp_path)
    return tmp_path


def test_the_page_has_the_counts_and_says_which_pictures_it_shows(scored: Path):
    page, report = write_page(scored)
    assert "images 60 failed 2 median score 28.5" in numbers(page)
    assert "corrupt 2 images 58.jpg half a picture 59.jpg half a picture" in numbers(page)
    # 12 each of best, worst and least sure; up to 8 of each of six bands of ten points.
    assert page.number_of("button") - 1 == 36 + 6 * 8
    assert report.num_missing == report.num_pictures > 0
    assert "not_found" in numbers(page)


def test_the_best_come_first_and_each_image_is_told_of_once(scored: Path):
    page, _ = write_page(scored)
    cards = [attributes for tag, attributes in page.tags if tag == "button" and "data-image" in attributes]
    assert cards[0]["aria-label"] == "57.jpg, score 57.0"
    assert cards[12]["aria-label"] == "0.jpg, score 0.0"
    images = page.scripts["details"]["images"]
    names = [image["name"] for image in images]
    assert len(names) == len(set(names))
    assert images[int(str(cards[0]["data-image"]))]["name"] == "57.jpg"
    assert page.scripts["details"]["values"] == {"table": [0, 25, 50, 75, 100]}
    assert sum(images[0]["probs"]) == pytest.approx(1, abs=0.01)


def test_the_histogram_counts_every_image_with_a_score(scored: Path):
    page, _ = write_page(scored)
    bars = page.scripts["plots"]["plot-scores"]["layer"][0]["data"]["values"]
    assert sum(bar["images"] for bar in bars) == 58
    assert {bar["high"] - bar["low"] for bar in bars} == {5}


def test_uncertainty_has_a_point_for_each_image_or_a_square_for_many(scored: Path, monkeypatch: pytest.MonkeyPatch):
    page, _ = write_page(scored)
    points = page.scripts["plots"]["plot-uncertainty"]["data"]["values"]
    assert len(points) == 58
    assert points[0] == {"score": 0.0, "score_std": 5.0}
    monkeypatch.setattr(page_facts, "MOST_POINTS", 57)
    page, _ = write_page(scored)
    squares = page.scripts["plots"]["plot-uncertainty"]["data"]["values"]
    assert sum(square["count"] for square in squares) == 58
    assert squares[0] == {"score": 0.0, "score_std": 5.0, "count": 1}


def test_groups_are_compared_by_a_column(scored: Path):
    page, _ = write_page(scored, by="generator")
    [better, worse] = page.scripts["plots"]["plot-groups"]["data"]["values"]
    assert (better["value"], better["images"], better["median"]) == ("b", 29, 29)
    assert (worse["value"], worse["median"]) == ("a", 28)
    with pytest.raises(BadInput, match="--by model: no such column"):
        write_page(scored, by="model")


def test_the_values_of_a_column_are_limited_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_facts, "MOST_VALUES", 2)
    write_table(tmp_path / "table", [{"generator": letter} for letter in "aabbc"], passthrough=GENERATOR)
    page, _ = write_page(tmp_path, by="generator")
    assert "The 2 most frequent of 3 values." in numbers(page)


def test_values_that_look_alike_have_a_line_each(tmp_path: Path):
    """Of long values the beginning is shown, and what stands for no value may be a value."""
    values = [*(f"{'x' * 70}{end}" for end in "ab"), "(no value)", None]
    write_table(
        tmp_path / "table",
        [{"score": 10.0 * number, "generator": value} for number, value in enumerate(values)],
        passthrough=GENERATOR,
    )
    page, _ = write_page(tmp_path, by="generator")
    plot = page.scripts["plots"]["plot-groups"]
    groups = plot["data"]["values"]
    assert [(group["number"], group["images"], group["median"]) for group in groups] == [
        (number, 1, 10 * (3 - number)) for number in range(4)
    ]
    assert plot["layer"][0]["encoding"]["y"]["field"] == "number"
    labels = [group["value"] for group in groups]
    assert labels == plot["params"][0]["value"]
    assert labels[:2] == ["(no value)"] * 2
    assert labels[2] == labels[3]


def test_tables_whose_names_look_alike_have_a_line_each(tmp_path: Path):
    names = [f"{'x' * 70}{end}" for end in "ab"]
    for name in names:
        write_table(tmp_path / name, [{}, {}])
    page, _ = write_page(tmp_path, *names)
    steps = page.scripts["plots"]["plot-scores"]["data"]["values"]
    assert [sum(step["images"] for step in steps if step["number"] == number) for number in range(2)] == [2, 2]


def test_galleries_show_what_a_selection_keeps(scored: Path):
    table = str(scored / "table")
    to = str(scored / "selection.parquet")
    select(SelectConfig(tables=(table,), to=to, where="score < 20", top=5), Console(file=io.StringIO()))
    page, _ = write_page(scored, selection=to)
    assert {image["name"] for image in page.scripts["details"]["images"]} == {f"{n}.jpg" for n in range(15, 20)}
    assert "5 of 60 images are kept" in numbers(page)
    assert "where 38" in numbers(page)
    assert "not_at_the_top 15" in numbers(page)
    bars = page.scripts["plots"]["plot-scores"]["layer"][0]["data"]["values"]
    assert sum(bar["images"] for bar in bars if bar["series"] == "kept") == 5
    assert sum(bar["images"] for bar in bars if bar["series"] == "all") == 58


def test_of_pairs_the_winners_and_the_losers_are_shown(scored: Path):
    to = str(scored / "pairs.parquet")
    asked = SelectConfig(tables=(str(scored / "table"),), to=to, pairs="generator")
    select(asked, Console(file=io.StringIO()))
    page, _ = write_page(scored, selection=to)
    assert {image["name"] for image in page.scripts["details"]["images"]} == {f"{n}.jpg" for n in (0, 1, 56, 57)}
    assert "They make 2 pairs." in numbers(page)


def test_a_selection_is_known_by_the_place_of_its_table_or_by_the_name_of_one_that_has_moved(scored: Path):
    to = str(scored / "selection.parquet")
    asked = SelectConfig(tables=(f"first={scored / 'table'}",), to=to, top=1)
    select(asked, Console(file=io.StringIO()))
    page, _ = write_page(scored, selection=to)
    assert [image["name"] for image in page.scripts["details"]["images"]] == ["57.jpg"]
    (scored / "table").rename(scored / "first")
    page, _ = write_page(scored, "first", selection=to)
    assert [image["name"] for image in page.scripts["details"]["images"]] == ["57.jpg"]


def test_a_selection_of_another_table_is_refused(scored: Path):
    write_table(scored / "other", [{"generator": "a"}], passthrough=GENERATOR)
    to = str(scored / "selection.parquet")
    select(SelectConfig(tables=(str(scored / "other"),), to=to), Console(file=io.StringIO()))
    with pytest.raises(BadInput, match=r"selection\.parquet: it is of the table .*/other as well; name that one"):
        write_page(scored, selection=to)


def test_near_duplicates_are_shown_in_groups(tmp_path: Path):
    alike = [{"phash": 0b1111 << 8, "image_id": "a"}, {"phash": 0b1110 << 8, "image_id": "b"}]
    write_table(tmp_path / "table", [*alike, {}, {}, {}])
    page, _ = write_page(tmp_path)
    assert "1 group of 2 images among all images" in numbers(page)
    assert "2 alike" in numbers(page)


def test_a_table_in_which_every_image_failed_has_a_page(tmp_path: Path):
    write_table(tmp_path / "table", [{"score": None}] * 3)
    page, _ = write_page(tmp_path)
    assert "No image has a score." in numbers(page)
    assert "Near-duplicates" not in numbers(page)
    assert page.scripts == {"plots": {}, "details": {"images": [], "values": {"table": [0, 25, 50, 75, 100]}}}


def test_two_tables_have_a_colour_each(scored: Path):
    write_table(scored / "second", [{"score": 90.0, "generator": "a"}] * 3, passthrough=GENERATOR)
    page, _ = write_page(scored, "table", "second")
    plot = page.scripts["plots"]["plot-scores"]
    assert plot["encoding"]["color"]["scale"]["domain"] == [0, 1]
    assert plot["params"] == [{"name": "labels", "value": ["table", "second"]}]
    assert sum(step["images"] for step in plot["data"]["values"] if step["number"] == 1) == 3
    assert "table 58 0.0" in numbers(page)
    assert "second 3 90.0" in numbers(page)


def test_names_prompts_and_texts_of_any_kind_are_shown_as_text(tmp_path: Path):
    row = {"image_id": HOSTILE, "generator": HOSTILE, "overall_gestalt": HOSTILE, "texts_truncated": 0}
    failed = {"image_id": f"{HOSTILE}2", "score": None, "error_code": "corrupt", "error": HOSTILE}
    write_table(tmp_path / "table", [row, failed], passthrough=GENERATOR)
    page, report = write_page(tmp_path, by="generator")
    assert page.number_of("script") == 4
    assert page.number_of("style") == 1
    [image] = page.scripts["details"]["images"]
    assert image["name"].startswith("<script>alert(1)</script>\"'&</style>xxx")
    assert image["name"].endswith(" … (10,061 characters)")
    text = (tmp_path / "page.html").read_text()
    assert "\0" not in text
    assert "<script>alert" not in text
    assert report.num_bytes < 2_000_000


def test_letters_from_right_to_left_stay_and_what_turns_other_text_is_written_out(tmp_path: Path):
    letters = "\u05e9\u05dc\u05d5\u05dd \u0633\u0644\u0627\u0645"
    row = {"image_id": f"{letters}\u202egpj", "generator": f"{letters}\u2067", "overall_gestalt": letters}
    write_table(tmp_path / "table", [row | {"texts_truncated": 0}], passthrough=GENERATOR)
    page, _ = write_page(tmp_path, by="generator")
    assert f"{letters}\\u202egpj" in numbers(page)
    [image] = page.scripts["details"]["images"]
    assert (image["name"], image["texts"][0][1]) == (f"{letters}\\u202egpj", letters)
    assert page.scripts["plots"]["plot-groups"]["params"][0]["value"] == [f"{letters}\\u2067"]
    assert not set((tmp_path / "page.html").read_text()) & set("\u202e\u2067")


def test_the_policy_of_the_page_allows_its_own_scripts_only(scored: Path):
    page, _ = write_page(scored)
    [policy] = [a["content"] for tag, a in page.tags if tag == "meta" and "content" in a and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy
    assert len(re.findall(r"'sha256-[^']+'", policy)) == 3


def test_pictures_are_read_from_where_they_are_and_the_page_goes_into_the_table(tmp_path: Path, capsys):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.png").write_bytes(encoded(picture(60 * number)))
    table = str(tmp_path / "table")
    assert main(["score", str(tmp_path / "photos"), table, "--engine", "fake", "--workers", "0"]) == 0
    assert main(["report", table]) == 0
    assert re.search(r"report +/.*/table/report\.html \(\d\.\d MB, 3 pictures\)", capsys.readouterr().err)
    page = Page((tmp_path / "table" / "report.html").read_text())
    sources = [attributes.get("src") for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3 + 3
    (tmp_path / "photos" / "1.png").unlink()
    assert main(["report", table]) == 0
    assert "3 pictures, 1 of them could not be read" in capsys.readouterr().err
    assert main(["verify", table]) == 0


def test_a_page_is_html(scored: Path):
    with pytest.raises(BadInput, match=r"--to page: a page is an HTML file; name it page\.html"):
        run(PageConfig(tables=(str(scored / "table"),), to="page"), Console(file=io.StringIO()))


def test_a_file_that_is_no_page_is_left_alone(scored: Path):
    (scored / "page.html").write_text("<p>mine")
    with pytest.raises(BadInput, match=r"page\.html: a file that is no such page is there"):
        write_page(scored)
    assert (scored / "page.html").read_text() == "<p>mine"
    (scored / "page.html").unlink()
    write_page(scored)
    write_page(scored, seed=1)


def lowbias32(number: int) -> int:
    """Source: https://github.com/skeeto/hash-prospector."""
    number = (number ^ number >> 16) * 0x7FEB352D % 2**32
    number = (number ^ number >> 15) * 0x846CA68B % 2**32
    return number ^ number >> 16


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_a_seed_draws_by_arithmetic_that_no_version_of_duckdb_changes(tmp_path: Path, seed: int):
    write_table(tmp_path / "table", [{"score": 50.0}] * 100)
    page, _ = write_page(tmp_path, seed=seed)
    drawn = re.findall(r"(\d+)\.jpg", numbers(page).partition("8 of 100 images")[2])[:8]
    salt = int.from_bytes(hashlib.sha256(f"{seed}:table".encode()).digest()[:4], "little")
    assert drawn == [str(number) for number in sorted(range(100), key=lambda number: lowbias32(number ^ salt))[:8]]


def test_a_page_is_known_by_the_name_of_the_program(scored: Path):
    page, _ = write_page(scored)
    assert ("meta", {"name": "generator", "content": "artimuse"}) in page.tags


def test_a_seed_draws_the_same_images_again_and_another_one_others(scored: Path):
    names = [
        {image["name"] for image in write_page(scored, seed=seed)[0].scripts["details"]["images"]} for seed in (7, 7, 8)
    ]
    assert names[0] == names[1] != names[2]
