"""The page of a comparison in a browser: it is quiet, it can be seen, and A is a key away from B."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from artimuse.cli import main
from tests.browser import PHONE, opened
from tests.pictures import encoded, picture

NUM_PROMPTS = 12
MARKUP = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>\"'&</style></script><!--"
HOSTILE = f"{MARKUP}\u202eflow \x1b[31mred\x1b[0m " + "x" * 5000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two generators, with two pictures of each of 12 prompts."""
    folder = tmp_path_factory.mktemp("compare")
    for name, step in (("a", 1), ("b", 3)):
        rows = []
        for number in range(2 * NUM_PROMPTS):
            path = folder / f"{name} {number}.png"
            path.write_bytes(encoded(picture(60 + step * number, width=64 + 8 * (number % 3))))
            prompt = HOSTILE if number // 2 == NUM_PROMPTS - 1 else f"prompt {number // 2}"
            rows.append({"uri": str(path), "prompt": prompt})
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        table = str(folder / name)
        assert main(["score", str(folder / f"{name}.jsonl"), table, "--engine", "fake", "--workers", "0"]) == 0
    page = folder / "compare.html"
    assert main(["compare", str(folder / "a"), str(folder / "b"), "--to", str(page)]) == 0
    return page


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_page_is_quiet_and_its_plots_and_pictures_can_be_seen(browser: Browser, written: Path, colours: str):
    with opened(browser, written, color_scheme=colours) as it:
        for card in it.page.locator(".card").all():
            card.scroll_into_view_if_needed()
        assert it.page.locator(".card img").count() >= 4 * 5
        for plot in ("#plot-both svg", "#plot-differences svg"):
            size = it.page.locator(plot).bounding_box()
            assert min(size["width"], size["height"]) > 100
        sizes = it.page.eval_on_selector_all(".card img", "all => all.map((one) => one.naturalWidth)")
        assert min(sizes) >= 40
        assert (it.messages, it.requests) == ([], [])


def test_a_key_goes_from_a_picture_of_a_to_that_of_b_and_back_to_the_page(browser: Browser, written: Path):
    with opened(browser, written) as it:
        it.page.locator(".card").first.focus()
        it.page.keyboard.press("Enter")
        dialog = it.page.locator("dialog")
        assert dialog.is_visible()
        first = dialog.locator("h2").inner_text()
        it.page.keyboard.press("ArrowRight")
        second = dialog.locator("h2").inner_text()
        assert (Path(first).name[0], Path(second).name[0]) == ("a", "b")
        it.page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert it.focus()["place"] == 1


def test_pictures_of_a_are_to_the_left_of_those_of_b(browser: Browser, written: Path):
    with opened(browser, written) as it:
        left, right, below = (it.page.locator(".card").nth(place).bounding_box() for place in range(3))
        assert left["x"] + left["width"] <= right["x"]
        assert below["x"] == left["x"]
        assert below["y"] >= left["y"] + left["height"]


def test_a_phone_scrolls_downwards_only(browser: Browser, written: Path):
    with opened(browser, written, viewport=PHONE) as it:
        assert it.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_prompts_are_shown_as_text(browser: Browser, written: Path):
    with opened(browser, written) as it:
        assert it.page.title().startswith("A and B: B is better by")
        assert it.page.locator("img[src=x]").count() == 0
        assert it.page.locator("script").count() == 4
        hostile = it.page.locator(".pair .name", has_text="alert(1)")
        assert hostile.count() == 1
        assert "\\x1b[31mred" in hostile.inner_text()
        it.page.locator(".pair", has_text="alert(1)").locator(".card").first.click()
        assert MARKUP in it.page.locator("dialog .said").inner_text()
        assert it.messages == []
