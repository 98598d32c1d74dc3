"""However many images there are and whatever their rows hold, the page stays small and the terminal safe."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from artimuse.cli import main
from artimuse.curation.pages import images as page_images
from artimuse.curation.pages import thumbnails
from artimuse.curation.pages.render import num_bytes
from artimuse.curation.report import content as page_content
from artimuse.curation.report import galleries as page_galleries
from tests.curation.report.report_pages import numbers, sixty_images, write_page
from tests.curation.score_tables import write_table


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    sixty_images(tmp_path)
    return tmp_path


def test_of_many_images_some_are_drawn_for_near_duplicates(scored: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_galleries, "MOST_HASHES", 20)
    monkeypatch.setattr(page_content, "MOST_HASHES", 20)
    page, _ = write_page(scored)
    [number] = re.findall(r"None among (\d+) images drawn from all", numbers(page))
    assert 8 <= int(number) <= 32


def test_a_page_of_any_table_has_less_than_10_mb():
    """The sum of what its parts may take: pictures, what is known of each, and the plots' library."""
    num_large = 3 * page_galleries.MOST_AT_AN_END
    num_small = page_galleries.NUM_BANDS * page_galleries.NUM_PER_BAND
    num_small += page_galleries.MOST_GROUPS * page_galleries.MOST_OF_A_GROUP
    pictures = 4 / 3 * (num_large * thumbnails.LARGE.max_bytes + num_small * thumbnails.SMALL.max_bytes)
    known = (num_large + num_small) * page_images.MAX_IMAGE_BYTES
    assert pictures + known + 1_000_000 < 9_000_000
    assert num_large + num_small <= 200


def test_what_is_known_of_an_image_is_bounded(tmp_path: Path):
    """Each `<` takes six bytes in the page, and columns may be many."""
    many = pa.schema([(f"column_{number}", pa.string()) for number in range(400)])
    row = dict.fromkeys(many.names, "<" * 10_000) | {"overall_gestalt": "<" * 10_000, "texts_truncated": 0}
    write_table(tmp_path / "table", [row], passthrough=many)
    page, _ = write_page(tmp_path)
    [image] = page.scripts["details"]["images"]
    assert num_bytes([*image["texts"], *image["facts"]]) < page_images.MAX_IMAGE_BYTES + 100
    assert image["texts"][0][1].startswith("<" * 100)
    assert re.fullmatch(r"\d+ columns are in the table only", image["facts"][-1][1])


def test_a_single_image_is_the_best_and_is_not_the_worst(tmp_path: Path):
    write_table(tmp_path / "table", [{}])
    page, _ = write_page(tmp_path)
    said = numbers(page)
    assert "Best" in said
    assert "Worst" not in said
    assert page.number_of("button") - 1 == 2


def test_a_hostile_name_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "\x1b[31mred"
    write_table(folder, [{"image_id": "\x1b[2J"}])
    assert main(["report", str(folder)]) == 0
    assert main(["report", str(folder), "--to", str(tmp_path / "\x1b[1m")]) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said.replace("\\x1b", "")
    assert "\\x1b[31mred/report.html" in said
    assert "\x1b" not in (folder / "report.html").read_text()
