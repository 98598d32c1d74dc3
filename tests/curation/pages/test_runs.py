"""What the page says of how a table was made."""

from pathlib import Path
from typing import Any

from artimuse.curation.pages.runs import MOST_STARTS, RunStory, story_of
from artimuse.table.record import RUN_FILE
from tests.curation.score_tables import table_at, write_table
from tests.table.score_rows import record

WORK = {"fetch": 1.0, "decode": 6.0, "score": 9.5, "write": 0.5}


def story(folder: Path, *, report: dict[str, Any] | None = None, **changes: Any) -> RunStory:
    output = write_table(folder / "table", [{}])
    RUN_FILE.write(output, record(num_rows=1, status="finished", report=report, **changes))
    return story_of(table_at(folder / "table"))


def report(scoring_s: float, **changes: Any) -> dict[str, Any]:
    return {"phase_s": {"planning": 1.0, "scoring": scoring_s}, "worker_s": WORK, **changes}


def test_a_busy_model_bound_the_run(tmp_path: Path):
    told = story(tmp_path, report=report(10.0), config={"workers": "1"})
    assert told.verdict.endswith("The model worked 95% of the time: it bound the run.")
    assert told.work[2] == ("score", "9.5", 100.0)


def test_a_waiting_model_did_not(tmp_path: Path):
    told = story(tmp_path, report=report(10.0), config={"workers": "4"})
    assert told.verdict.endswith("The model worked 24% of the time and else waited, mostly for decoding images.")


def test_of_a_number_of_workers_that_varied_no_verdict_is_given(tmp_path: Path):
    for workers in ("auto", "1:8", "what?"):
        told = story(tmp_path, report=report(10.0), config={"workers": workers})
        assert "what bound the run is not known" in told.verdict


def test_a_run_that_has_not_ended_has_no_times(tmp_path: Path):
    told = story(tmp_path, config={"model": "nano"})
    assert (told.model, told.phases, told.timeline) == ("nano", (), ())
    assert told.verdict == "run.json has no times of this run."


def test_the_rate_is_that_between_two_points_of_the_timeline(tmp_path: Path):
    told = story(tmp_path, report=report(10.0, timeline=[[60.0, 600], [120.0, 900]]))
    assert told.timeline == ((1.0, 10.0), (2.0, 5.0))
    assert story(tmp_path, report=report(10.0, timeline=[[60.0, 600]])).timeline == ()


def test_all_starts_are_listed_unless_they_are_very_many(tmp_path: Path):
    start = {"artimuse": "0.1", "config": {"engine": "vllm", "workers": "2"}, "versions": {}}
    starts = tuple({"started_at": f"2026-01-{day:02d}T00:00:00+00:00", **start} for day in range(1, 4))
    told = story(tmp_path, starts=starts, finished_at="2026-01-05T00:00:00+00:00")
    assert told.starts[0] == ("2026-01-01 00:00:00 UTC", "artimuse 0.1, vllm, workers 2")
    assert told.starts[-1] == ("2026-01-05 00:00:00 UTC", "finished")
    told = story(tmp_path, starts=starts * 100)
    assert len(told.starts) == MOST_STARTS + 1
    assert told.starts[MOST_STARTS // 2] == ("…", "281 more")


def test_the_parity_certificate_is_told_in_a_sentence(tmp_path: Path):
    parity = {"num_images": 32, "reference": "exact", "max_difference": 0.002, "mean_difference": 0.0004}
    told = story(tmp_path, parity={**parity, "rank_correlation": 1.0, "tolerance": 0.01})
    said = dict(told.facts)["as the reference"]
    assert said.startswith("32 images also scored by engine exact: at most 0.002 points apart")
    assert dict(story(tmp_path).facts)["as the reference"] == "not compared"
