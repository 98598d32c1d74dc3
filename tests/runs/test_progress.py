"""Progress on a clock that the test moves."""

import io
import logging
import re
import time

import pytest
from rich.console import Console

from artimuse.runs import progress
from artimuse.runs.progress import LOG_INTERVAL_S, RunProgress

START = 1_700_000_000.0


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - START + 5.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def log_file() -> io.StringIO:
    """Where a console that is no terminal writes."""
    return io.StringIO()


@pytest.fixture
def run(clock: Clock, log_file: io.StringIO, caplog: pytest.LogCaptureFixture) -> RunProgress:
    caplog.set_level(logging.INFO, logger="artimuse")
    return RunProgress(Console(file=log_file))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    return lambda: [record.getMessage() for record in caplog.records]


def test_without_a_terminal_there_is_a_line_every_30_seconds(run, clock, lines):
    run.expect(total=1000, done=0)
    for _ in range(100):
        clock.now += 1
        run.advance(rows=1, failed=0, began_at=START)
    assert LOG_INTERVAL_S == 30
    assert [line.split(" done")[0] for line in lines()] == ["30 of 1000", "60 of 1000", "90 of 1000"]


def test_a_quiet_half_minute_is_followed_by_one_line_not_many(run, clock, lines):
    run.expect(total=10, done=0)
    clock.now += 300
    for _ in range(5):
        run.advance(rows=1, failed=0, began_at=START)
    assert len(lines()) == 1


def test_a_line_says_done_failed_rate_and_time_left(run, clock, lines):
    run.expect(total=1200, done=200)
    clock.now += 50
    run.advance(rows=100, failed=3, began_at=START)
    # 100 images in 50 s; 900 are left.
    assert lines() == ["300 of 1200 done, 3 failed, 2.0 images/s, 0:07:30 left"]


def test_rows_of_an_earlier_run_are_done_but_not_in_the_rate(run, clock):
    run.expect(total=1000, done=900)
    clock.now += 10
    run.advance(rows=20, failed=0, began_at=START)
    assert (run.done, run.failed, run.total) == (920, 0, 1000)
    assert run.rate == pytest.approx(2.0)


def test_failed_rows_of_an_earlier_run_are_failed(run, clock, lines):
    run.expect(total=1000, done=900, failed=7)
    clock.now += 50
    run.advance(rows=20, failed=1, began_at=START)
    assert lines()[0].startswith("920 of 1000 done, 8 failed, ")


def test_the_rate_counts_from_the_first_workers_begin(run, clock):
    run.expect(total=100, done=0)
    clock.now += 60  # the model loads
    began = clock.now
    clock.now += 10
    run.advance(rows=10, failed=0, began_at=began + 2)
    run.advance(rows=10, failed=0, began_at=began)
    run.advance(rows=10, failed=0, began_at=began + 5)
    assert run.working_s == pytest.approx(10)
    assert run.rate == pytest.approx(3.0)


def test_a_timeline_has_the_whole_run_in_a_bounded_number_of_points(run, clock):
    run.expect(total=10_000, done=0)
    for _ in range(2000):
        clock.now += 1
        run.advance(rows=5, failed=0, began_at=START)
    assert progress.MOST_POINTS / 3 < len(run.timeline) <= progress.MOST_POINTS
    assert all(rows == pytest.approx(5 * seconds) for seconds, rows in run.timeline)
    steps = [later - earlier for (earlier, _), (later, _) in zip(run.timeline, run.timeline[1:])]
    assert max(steps) < 2000 / 50


def test_before_the_first_rows_there_is_no_rate_and_no_time_left(run, clock, lines):
    clock.now += 31
    run.expect(total=10, done=0)
    assert (run.rate, run.working_s) == (0, 0)
    assert lines() == ["0 of 10 done, 0 failed, workers are starting"]


def wait_for_line(lines, clock: Clock, beginning: str) -> str:
    """The first line that begins so; the clock goes on by a minute at a time until there is one."""
    for _ in range(500):
        if found := [line for line in lines() if line.startswith(beginning)]:
            return found[0]
        clock.now += 60
        time.sleep(0.02)
    raise AssertionError(f"no line begins with {beginning!r}: {lines()}")


def test_a_phase_in_which_nothing_moves_says_how_long_it_has_lasted(run, clock, lines, monkeypatch):
    monkeypatch.setattr(progress, "_LOOK_INTERVAL_S", 0.01)
    with run.phase("comparing"):
        assert re.fullmatch(r"comparing, \d+ s so far", wait_for_line(lines, clock, "comparing, "))


def test_such_a_line_has_the_counts_if_there_are_any(run, clock, lines, monkeypatch):
    monkeypatch.setattr(progress, "_LOOK_INTERVAL_S", 0.01)
    with run.phase("scoring"):
        run.expect(total=10, done=2)
        line = wait_for_line(lines, clock, "scoring, ")
    assert line.endswith(" s so far: 2 of 10 done, 0 failed, workers are starting")


def test_a_worker_whose_clock_is_ahead_does_no_harm(run, clock):
    run.expect(total=10, done=0)
    run.advance(rows=1, failed=0, began_at=clock.now + 100)
    assert (run.rate, run.working_s) == (0, 0)
    clock.now += 200
    run.advance(rows=1, failed=0, began_at=clock.now)
    assert run.rate == pytest.approx(2 / 100)


def fail_after(seconds: float, clock: Clock) -> None:
    clock.now += seconds
    raise ZeroDivisionError


def test_phases_are_named_and_timed_also_when_they_fail(run, clock, lines):
    with run.phase("planning"):
        clock.now += 2
    with pytest.raises(ZeroDivisionError), run.phase("scoring"):
        fail_after(7, clock)
    with run.phase("planning"):
        clock.now += 1
    assert run.phase_s == {"planning": 3, "scoring": 7}
    assert lines() == ["planning", "scoring", "planning"]


@pytest.mark.parametrize(("last_s", "parts"), [(4, (6, 4)), (0, (10, 0)), (10, (0, 10)), (11, (0, 10))])
def test_a_phase_is_split_without_losing_time(run, clock, last_s, parts):
    with run.phase("scoring"):
        clock.now += 10
    run.split_phase("scoring", "loading", last_s=last_s)
    assert list(run.phase_s.items()) == [("loading", parts[0]), ("scoring", parts[1])]


def test_nothing_is_drawn_where_there_is_no_terminal(run, clock, log_file):
    run.expect(total=10, done=0)
    with run.phase("scoring"):
        clock.now += 40
        run.advance(rows=10, failed=0, began_at=START)
    assert log_file.getvalue() == ""


def test_on_a_terminal_there_is_a_bar_and_no_log_lines(clock, lines, caplog):
    caplog.set_level(logging.INFO, logger="artimuse")
    screen = io.StringIO()
    run = RunProgress(Console(file=screen, force_terminal=True, width=160))
    run.expect(total=1000, done=0)
    with run.phase("scoring"):
        clock.now += 40
        run.advance(rows=80, failed=2, began_at=START)
    shown = screen.getvalue()
    assert "scoring" in shown
    assert "80/1000" in shown
    assert "2 failed, 2.0 images/s, 0:07:40 left" in shown
    assert lines() == []
