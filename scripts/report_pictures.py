"""Writes the pictures of the page of `artimuse demo` in docs/: light, dark, on a phone, and with a picture opened.

python scripts/report_pictures.py demo-output/report.html
"""

import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser

from tests.browser import PHONE, opened, started

DOCS = Path(__file__).parents[1] / "docs"
WINDOW = {"width": 1180, "height": 1040}


def main(page: Path) -> None:
    with started() as browser:
        save(browser, page, "report.png", viewport=WINDOW)
        save(browser, page, "report-dark.png", card=2, viewport=WINDOW, color_scheme="dark")
        save(browser, page, "report-phone.png", section="pictures", viewport=PHONE)


def save(
    browser: Browser, page: Path, name: str, *, card: int | None = None, section: str = "", **context: Any
) -> None:
    with opened(browser, page.absolute(), **context) as it:
        if section:
            it.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        if card is not None:
            it.page.locator(".card").nth(card).click()
        picture = Image.open(io.BytesIO(it.page.screenshot())).convert("RGB")
    picture.save(DOCS / name, optimize=True)
    print(f"{name}: {picture.size}, {(DOCS / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
