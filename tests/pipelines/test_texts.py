"""Attribute texts: with the scores, after them, for some images, and what is in their way."""

import json
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.cli import main
from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.engines import open_engine
from artimuse.images.decode import DecodedImage, decode
from artimuse.prompts import attribute_question
from tests.pictures import encoded, good_folder, picture

NUM_IMAGES = 20
SLUGS = [attribute.slug for attribute in ATTRIBUTES]
FAKE = ("--engine", "fake", "--workers", "0")
NANO = ("--model", "nano", "--workers", "0", "--no-parity-check")
TEXTS = ("--attributes", "theme_and_communication,composition_and_design", "--max-new-tokens", "12")


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def table(output: Path) -> list[dict]:
    rows = pq.read_table(output / "scores").sort_by("row_number").to_pylist()
    assert len({row["row_number"] for row in rows}) == len(rows)
    return rows


def described(rows: list[dict]) -> list[int]:
    return [row["row_number"] for row in rows if row["texts_truncated"] is not None]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Twenty good files, darker ones first, and one that is none."""
    folder = good_folder(tmp_path_factory.mktemp("texts") / "in", NUM_IMAGES)
    (folder / "zzz.jpg").write_bytes(b"not a picture")
    return folder


@pytest.fixture(scope="module")
def undisturbed(pictures, tmp_path_factory) -> list[dict]:
    output = tmp_path_factory.mktemp("undisturbed")
    assert score(pictures, output, *NANO, *TEXTS) == 3
    return table(output)


def test_scores_and_texts_come_in_one_run(undisturbed, pictures):
    *good, bad = undisturbed
    assert (bad["status"], bad["texts_truncated"], bad["theme_and_communication"]) == ("failed", None, None)
    engine = open_engine(EngineConfig(name="exact", model="nano", device="cpu", dtype="float32"))
    asked = [attribute for attribute in ATTRIBUTES if attribute.slug in TEXTS[1]]
    for row in (good[0], good[7], good[-1]):
        image = decode((pictures / row["image_id"]).read_bytes(), DecodeLimits())
        assert isinstance(image, DecodedImage)
        with engine.open(image.pixels_HWC[None]) as images:
            [texts] = images.generate([attribute_question(a) for a in asked], rows=[True], max_new_tokens=12)
        assert [row[attribute.slug] for attribute in asked] == [text.text for text in texts]
        assert row["texts_truncated"] == sum(text.truncated for text in texts)
    assert all(row[slug] is None for row in good for slug in SLUGS if slug not in TEXTS[1])
    assert all(row["score"] is not None for row in good)


def test_texts_added_later_and_bit_by_bit_equal_those_of_an_undisturbed_run(undisturbed, pictures, tmp_path, capsys):
    assert score(pictures, tmp_path / "out", *NANO) == 3
    scored = table(tmp_path / "out")
    assert described(scored) == []
    names = [slug for slug in SLUGS if slug in TEXTS[1]]
    assert scored == [row | dict.fromkeys((*names, "texts_truncated")) for row in undisturbed]
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS, "--limit", 3) == 3
    assert described(table(tmp_path / "out")) == [0, 1, 2]
    middle = sorted(row["score"] for row in scored[:-1])[NUM_IMAGES // 2]
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS, "--attributes-where", f"score > {middle}") == 3
    above = {row["row_number"] for row in scored[:-1] if row["score"] > middle}
    assert set(described(table(tmp_path / "out"))) == above | {0, 1, 2}
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS) == 3
    assert table(tmp_path / "out") == undisturbed
    assert main(["verify", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS) == 3
    assert "nothing to do" in capsys.readouterr().err


def test_a_run_that_was_cut_off_goes_on_to_the_same_texts(undisturbed, pictures, tmp_path):
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS, "--limit", 9) == 0
    assert described(table(tmp_path / "out")) == list(range(9))
    assert score(pictures, tmp_path / "out", *NANO, *TEXTS) == 3
    for row, expected in zip(table(tmp_path / "out"), undisturbed, strict=True):
        assert [row[name] for name in (*SLUGS, "texts_truncated")] == [expected[n] for n in (*SLUGS, "texts_truncated")]
        # In batches of other sizes, sums are rounded otherwise.
        assert row["score"] == (expected["score"] and pytest.approx(expected["score"], abs=1e-3))


def test_only_images_that_fulfil_the_condition_are_described(pictures, tmp_path, capsys):
    condition = "score < 40 AND image_id <> '0002.png' AND format = 'PNG'"
    arguments = (pictures, tmp_path / "out", *FAKE, "--attributes", "all", "--attributes-where", condition)
    assert score(*arguments, "--json") == 3
    rows = table(tmp_path / "out")
    expected = [row["row_number"] for row in rows if row["status"] == "ok" and row["score"] < 40]
    expected.remove(2)
    assert 0 < len(expected) < NUM_IMAGES - 1
    assert described(rows) == expected
    report = json.loads(capsys.readouterr().out)
    assert (report["num_described"], report["num_newly_described"]) == (len(expected),) * 2
    assert "\n" not in rows[expected[0]]["overall_gestalt"]
    query = f"SELECT count(*) FROM '{tmp_path}/out/scores/*.parquet' WHERE comprehensive_evaluation LIKE 'Please%'"
    assert duckdb.execute(query).fetchall() == [(len(expected),)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--attributes", "all", "--attributes-where", "scored > 60"), 'Referenced column "scored" not found'),
        (("--attributes", "all", "--attributes-where", "(SELECT true)"), "has no SELECT in it"),
    ],
)
def test_a_bad_condition_is_one_line_before_anything_runs(pictures, tmp_path, capsys, arguments, complaint):
    assert score(pictures, tmp_path / "out", *FAKE, *arguments) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: --attributes-where {arguments[-1]!r}: ")
    assert complaint in line
    assert not (tmp_path / "out" / "scores").exists()


def test_a_condition_that_fails_on_a_value_stops_the_run_with_its_line(pictures, tmp_path, capsys):
    where = "CAST(image_id AS INTEGER) > 3"
    assert score(pictures, tmp_path / "out", *FAKE, "--attributes", "all", "--attributes-where", where) == 1
    assert f"error: --attributes-where {where!r}: Conversion Error" in capsys.readouterr().err


def test_other_attributes_on_the_same_output_are_refused(pictures, tmp_path, capsys):
    assert score(pictures, tmp_path / "out", *FAKE, "--attributes", "overall_gestalt") == 3
    assert score(pictures, tmp_path / "out", *FAKE, "--attributes", "all") == 1
    assert "texts attributes: OUTPUT has 'overall_gestalt', this run has 'composition" in capsys.readouterr().err
    assert score(pictures, tmp_path / "out", *FAKE) == 3
    assert score(pictures, tmp_path / "out", *FAKE, "--attributes", "overall_gestalt") == 3, "texts were forgotten"


def test_files_that_are_gone_or_changed_keep_their_scores_and_are_counted(tmp_path, capsys):
    folder = good_folder(tmp_path / "in", 6)
    assert score(folder, tmp_path / "out", *FAKE) == 0
    before = table(tmp_path / "out")
    (folder / "0001.png").unlink()
    (folder / "0002.png").write_bytes(encoded(picture(200)))
    (folder / "0003.png").write_bytes(b"not a picture")
    assert score(folder, tmp_path / "out", *FAKE, "--attributes", "all", "--json") == 3
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["text_problems"] == {"not_found": 1, "changed": 1, "unsupported_format": 1}
    assert "3 images described, not possible for 3 (" in captured.err
    after = table(tmp_path / "out")
    assert described(after) == [0, 4, 5]
    assert [row["score"] for row in after] == [row["score"] for row in before]
    assert main(["verify", str(tmp_path / "out")]) == 0
    (folder / "0001.png").write_bytes(encoded(picture(200)))
    shutil.copy(folder / "0002.png", folder / "0001.png")
    assert score(folder, tmp_path / "out", *FAKE, "--attributes", "all", "--max-failed", "0.5") == 0


def test_failed_rows_that_are_tried_again_get_their_texts_too(tmp_path):
    folder = good_folder(tmp_path / "in", 4)
    (folder / "0001.png").write_bytes(b"not a picture")
    assert score(folder, tmp_path / "out", *FAKE, "--attributes", "all") == 3
    (folder / "0001.png").write_bytes(encoded(picture(200)))
    assert score(folder, tmp_path / "out", *FAKE, "--attributes", "all", "--retry-failed") == 0
    rows = table(tmp_path / "out")
    assert described(rows) == [0, 1, 2, 3]
    assert [row["attempt"] for row in rows] == [1, 2, 1, 1]


def test_an_answer_that_is_no_number_is_a_failed_row(pictures, tmp_path):
    assert score(pictures, tmp_path / "out", *FAKE, "--strategy", "score_as_text") == 3
    rows = table(tmp_path / "out")
    assert {row["error_code"] for row in rows} == {"model_error", "unsupported_format"}
    assert rows[0]["error"].startswith("the answer 'Rate the aesthetics")
    assert rows[0]["error"].endswith("' is not a number from 0 to 100")
    assert all(row["score"] is None and row["score_probs"] is None for row in rows)
