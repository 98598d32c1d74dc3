"""The page about score tables in a browser: it is quiet, it can be seen, and it is worked with keys alone."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from artimuse.cli import main
from tests.browser import PHONE, opened
from tests.pictures import encoded, picture

NUM_PICTURES = 14
MARKUP = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>\"'&</style></script><!--"
HOSTILE = f"{MARKUP}\u202eflow \U0001f305 \x1b[31mred\x1b[0m"
FILE_NAME = HOSTILE.replace("/", "|") + ".png"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about pictures of several shapes, one of which is gone, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("report")
    rows = []
    for number in range(NUM_PICTURES):
        name = FILE_NAME if number == 0 else f"{number}.png"
        shape = {"width": 40 + 20 * (number % 5), "height": 64}
        (folder / name).write_bytes(encoded(picture(30 + 15 * number, **shape)))
        prompt = f"{HOSTILE}\0{'x' * 10_000}" if number == 0 else "a sunset"
        rows.append({"image_id": name, "uri": str(folder / name), "prompt": prompt})
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows.append({"image_id": f"{HOSTILE}.png", "uri": str(folder / "bad.png"), "prompt": HOSTILE})
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table, page = str(folder / "table"), str(folder / "report.html")
    asked = ["--engine", "fake", "--attributes", "all", "--workers", "0", "--max-failed", "1"]
    assert main(["score", str(folder / "list.jsonl"), table, *asked]) == 0
    (folder / "3.png").unlink()
    assert main(["report", table, "--to", page, "--by", "prompt"]) == 0
    return Path(page)


def test_the_page_asks_for_nothing_and_its_console_is_empty(browser: Browser, written: Path):
    with opened(browser, written) as it:
        it.page.locator("#plot-scores svg path[aria-roledescription=bar]").first.hover()
        assert it.page.locator("#vg-tooltip-element").inner_text().startswith("score from")
        it.page.locator(".card").first.click()
        assert (it.messages, it.requests) == ([], [])


def test_pictures_and_plots_can_be_seen(browser: Browser, written: Path):
    with opened(browser, written) as it:
        sizes = it.page.eval_on_selector_all(
            ".plot svg, .card img, .caption svg", "all => all.map((one) => one.getBoundingClientRect().toJSON())"
        )
        assert len(sizes) > 30
        assert min(size["width"] for size in sizes) >= 20
        assert min(size["height"] for size in sizes) >= 10
        assert it.page.locator("#plot-scores path[aria-roledescription=bar]").count() > 3
        shown = it.page.eval_on_selector_all(".card img", "all => all.map((one) => one.naturalWidth)")
        assert min(shown) >= 40
        assert it.page.locator(".reason").first.inner_text() == "not_found"


def test_groups_are_named_by_their_values(browser: Browser, written: Path):
    with opened(browser, written) as it:
        names = it.page.eval_on_selector_all(
            "#plot-groups .role-axis-label text", "all => all.map((one) => one.textContent)"
        )
        assert "a sunset" in names
        assert any(name.startswith("<script>document.title") for name in names)
        it.page.locator("#plot-groups path[aria-roledescription=point]").first.hover()
        assert "number" not in it.page.locator("#vg-tooltip-element").inner_text()


def test_tables_are_named_in_the_legend(browser: Browser, written: Path, tmp_path: Path):
    table = str(written.parent / "table")
    assert main(["report", f"first={table}", f"second={table}", "--to", str(tmp_path / "two.html")]) == 0
    with opened(browser, tmp_path / "two.html") as it:
        names = it.page.locator("#plot-scores .role-legend-label text").all_text_contents()
        assert names == ["first", "second"]


def test_no_picture_is_cropped_and_those_of_a_row_have_one_height(browser: Browser, written: Path):
    with opened(browser, written) as it:
        pictures = it.page.eval_on_selector_all(
            "#pictures .gallery:first-of-type img",
            "all => all.map((one) => [one.offsetTop, one.offsetHeight, one.offsetWidth * one.naturalHeight"
            " / one.naturalWidth])",
        )
        for top, height, wanted in pictures:
            assert height == pytest.approx(wanted, abs=2)
            assert height == pytest.approx(next(h for t, h, _ in pictures if t == top), abs=2)


def test_a_gallery_is_walked_through_with_keys(browser: Browser, written: Path):
    with opened(browser, written) as it:
        it.page.locator("nav a").last.focus()
        it.page.keyboard.press("Tab")
        assert it.focus() == {"kind": "card", "gallery": 0, "place": 0}
        it.page.keyboard.press("ArrowRight")
        assert it.focus() == {"kind": "card", "gallery": 0, "place": 1}
        outline = it.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        it.page.keyboard.press("End")
        it.page.keyboard.press("ArrowRight")
        assert it.focus() == {"kind": "card", "gallery": 1, "place": 0}
        it.page.keyboard.press("End")
        last = it.focus()
        it.page.keyboard.press("ArrowDown")
        assert it.focus()["gallery"] == 2
        it.page.keyboard.press("ArrowUp")
        assert it.focus()["gallery"] == 1
        it.page.keyboard.press("End")
        assert it.focus() == last
        it.page.keyboard.press("Tab")
        assert it.focus()["gallery"] == 2


def test_a_picture_is_opened_and_left_with_keys(browser: Browser, written: Path):
    with opened(browser, written) as it:
        card = it.page.locator(".card").first
        card.focus()
        it.page.keyboard.press("Enter")
        dialog = it.page.locator("dialog")
        assert dialog.is_visible()
        first = dialog.locator("h2").inner_text()
        assert card.get_attribute("aria-label") == f"{first}, score {dialog.locator('.points').inner_text().split()[0]}"
        assert dialog.locator("h3").all_inner_texts()[0] == "Composition & Design"
        assert dialog.locator("h3").count() == 8
        assert dialog.locator(".distribution rect").count() >= 1
        it.page.keyboard.press("ArrowRight")
        assert dialog.locator("h2").inner_text() != first
        it.page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert it.focus() == {"kind": "card", "gallery": 0, "place": 1}


def test_a_phone_scrolls_downwards_only(browser: Browser, written: Path):
    with opened(browser, written, viewport=PHONE, has_touch=True) as it:
        width = "document.documentElement.scrollWidth"
        assert it.page.evaluate(width) == PHONE["width"]
        it.page.locator(".card").first.tap()
        assert it.page.locator("dialog .picture img").is_visible()
        assert it.page.evaluate("document.querySelector('dialog').scrollWidth") <= PHONE["width"]
        it.page.locator(".close").tap()
        assert not it.page.locator("dialog").is_visible()
        assert it.page.evaluate(width) == PHONE["width"]


def test_the_page_and_its_plots_are_dark_where_the_reader_wants_it(browser: Browser, written: Path):
    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
        " document.querySelector('#plot-scores text').getAttribute('fill')]"
    )
    with opened(browser, written) as it:
        light = it.page.evaluate(colours)
        it.page.evaluate("document.documentElement.dataset.drawn = ''")
        it.page.emulate_media(color_scheme="dark")
        it.page.wait_for_selector("html[data-drawn=yes]")
        dark = it.page.evaluate(colours)
    assert all(before != after for before, after in zip(light, dark))
    assert light[0] == "rgb(250, 250, 250)"
    assert dark[0] == "rgb(18, 18, 19)"


def test_names_and_prompts_of_any_kind_are_shown_as_text(browser: Browser, written: Path):
    with opened(browser, written) as it:
        assert it.page.title() == "table"
        assert it.page.locator("script").count() == 4
        assert it.page.locator("img[src=x]").count() == 0
        number = it.page.evaluate("images.findIndex((image) => image.name.startsWith('<script>'))")
        it.page.locator(f".card[data-image='{number}']").first.click()
        said = it.page.locator("dialog .said").inner_text()
        assert MARKUP.replace("/", "|") in said
        assert MARKUP in said
        assert "\\x1b[31mred" in said
        assert "\\x00xxx" in said
        assert "characters)" in said
        assert it.messages == []


def test_without_scripts_the_pictures_are_there(browser: Browser, written: Path):
    tab = browser.new_context(java_script_enabled=False)
    page = tab.new_page()
    page.goto(written.as_uri())
    assert page.locator("noscript").first.is_visible()
    box = page.locator(".card img[src]").first.bounding_box()
    assert box is not None
    assert box["width"] > 40
    tab.close()
