"""What the report of a scoring run tells a person and a script."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from artimuse.pipelines.parity import ParityCertificate
from artimuse.pipelines.report import ScoreReport

REPORT = {
    "output": "/photos/scores",
    "model": "nano",
    "note": None,
    "num_images": 12_000,
    "num_rows": 12_000,
    "num_failed": 3,
    "errors": {"corrupt": 1, "not_found": 2},
    "score_quantiles": {"min": 1.25, "median": 51.5, "max": 97.0},
    "num_described": 0,
    "num_texts_truncated": 0,
    "num_deep": 0,
    "num_new_rows": 2_000,
    "num_retried": 0,
    "num_recovered": 0,
    "num_newly_described": 0,
    "text_problems": {},
    "timeline": [],
    "images_per_s": 12.34,
    "parity": None,
    "phase_s": {"planning": 0.5, "scoring": 162.0},
    "worker_s": {"fetch": 1.0, "decode": 20.0, "score": 300.0, "write": 0.25},
    "rows_by_worker_node": {"10.0.0.1/abcdef12": 2_000},
    "skipped": {".txt": 4, "": 1},
    "max_failed": 0.0,
}


def report(**changes: Any) -> ScoreReport:
    return ScoreReport(**{**REPORT, **changes})


def shown(report: ScoreReport, *, width: int = 120) -> str:
    text = io.StringIO()
    report.print(Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize(
    ("num_failed", "num_rows", "max_failed", "status"),
    [
        (0, 10, 0.0, 0),
        (1, 10, 0.0, 3),
        (1, 10, 0.1, 0),
        (2, 10, 0.1, 3),
        (10, 10, 1.0, 0),
        # 0.29 * 100 is a little less than 29 in floating point.
        (29, 100, 0.29, 0),
        (30, 100, 0.29, 3),
        (57, 100, 0.57, 0),
        (1, 1_000_000, 0.000001, 0),
        (2, 1_000_000, 0.000001, 3),
    ],
)
def test_the_exit_status_is_3_when_more_than_the_tolerated_fraction_failed(num_failed, num_rows, max_failed, status):
    made = report(num_failed=num_failed, num_rows=num_rows, max_failed=max_failed)
    assert made.exit_status == status
    assert made.as_dict()["exit_status"] == status


def test_every_tolerated_percentage_tolerates_just_that_many():
    for percent in range(101):
        tolerated = report(num_failed=percent, num_rows=100, max_failed=float(f"{percent / 100:.2f}"))
        assert tolerated.exit_status == 0, percent


def test_json_is_the_report():
    assert json.loads(json.dumps(report().as_dict())) == {**REPORT, "exit_status": 3}


def test_the_printed_table_holds_what_matters():
    text = " ".join(shown(report()).split())
    for fact in (
        "12,000: 11,997 scored, 3 failed",
        "2 not_found 1 corrupt",
        "4 .txt, 1 without suffix (left out)",
        "min 1.25 median 51.50 max 97.00",
        "2,000 images, 12.3 images/s; 10,000 were done before",
        "planning 0.5 s, scoring 162.0 s",
        "decode 20.0 s",
        "model nano",
        "/photos/scores/scores/*.parquet",
    ):
        assert fact in text


def test_nothing_to_do_is_said_in_so_many_words():
    text = shown(report(num_new_rows=0))
    assert "nothing to do: every image was done before" in text
    assert "images/s" not in text


def test_nothing_to_do_says_what_could_be_done_for_failed_rows():
    assert "--retry-failed tries the 3 failed again" in shown(report(num_new_rows=0))
    assert "--retry-failed" not in shown(report(num_new_rows=0, num_failed=0, errors={}))


def test_rows_to_come_are_told_with_the_way_to_get_them():
    text = " ".join(shown(report(num_images=15_000)).split())
    assert "15,000: 11,997 scored, 3 failed, 3,000 to go: the same command goes on from there" in text


def test_a_retry_tells_how_many_images_have_a_score_now():
    text = " ".join(shown(report(num_new_rows=0, num_retried=5, num_recovered=2)).split())
    assert "5 failed before: 2 scored now, 3 failed again, 12.3 images/s; 11,995 were done before" in text
    text = " ".join(shown(report(num_new_rows=10, num_retried=5, num_recovered=5)).split())
    assert "10 images, 5 failed before: 5 scored now, 0 failed again, 12.3 images/s; 11,985 were done before" in text


def test_texts_are_told_with_what_was_in_their_way():
    text = shown(
        report(
            num_described=400,
            num_texts_truncated=7,
            num_newly_described=150,
            text_problems={"changed": 2, "corrupt": 1},
        )
    )
    assert "400 images described, 7 texts cut at --max-new-tokens, not possible for 3 (2 changed, 1 corrupt)" in text
    assert "2,000 images, 150 described, 12.3 images/s" in text
    assert "texts" not in shown(report())


def test_images_without_their_texts_count_as_failed_for_the_exit_status():
    settings = {"num_rows": 100, "num_failed": 1, "text_problems": {"changed": 2}}
    assert report(**settings, max_failed=0.02).exit_status == 3
    assert report(**settings, max_failed=0.03).exit_status == 0


def test_the_comparison_with_the_reference_is_printed_and_is_in_the_json():
    certificate = ParityCertificate(
        engine="transformers",
        reference="exact",
        dtype="bfloat16",
        reference_dtype="bfloat16",
        num_images=32,
        max_difference=0.25,
        mean_difference=0.0625,
        rank_correlation=0.99987,
        num_flips=2,
        tolerance=1.0,
        least_correlation=None,
    )
    text = shown(report(parity=certificate), width=200)
    assert (
        "as the reference  32 images by engine exact in bfloat16: at most 0.25 points apart, 0.062 on average,"
        " rank correlation 0.9999, 2 across the median (allowed: 1)" in text
    )
    assert report(parity=certificate).as_dict()["parity"]["max_difference"] == 0.25


def test_a_note_is_printed_below():
    assert shown(report(note="These scores mean nothing.")).rstrip().endswith("These scores mean nothing.")


@pytest.mark.parametrize("output", ["/photos/[red]album[/red]", "/photos/[2024] summer", "/photos/[/]", "/p/:smile:/a"])
def test_paths_with_brackets_are_printed_as_they_are(output):
    text = shown(report(output=output, model=output, skipped={".[b]": 1}, note=f"see {output}"))
    assert f"{output}/scores/*.parquet" in text
    assert f"see {output}" in text
    assert "1 .[b]" in text


def test_long_paths_are_folded_and_not_cut():
    output = "/photos/" + "x" * 300
    assert output in shown(report(output=output), width=80).replace(" ", "").replace("\n", "")


def test_pictures_that_are_not_read_are_told_from_what_is_no_picture():
    text = shown(report(skipped={".heic": 3, ".txt": 4, ".dng": 1}), width=200)
    assert "not read     3 .heic, 1 .dng: write them as JPEG, PNG or WebP" in text
    assert "not images   4 .txt (left out)" in text
