"""What a person sees while a run goes on: a bar on a terminal, otherwise a log line every 30 seconds.

A line comes also where nothing moves, and says for how long it has not.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 30.0
_LOOK_INTERVAL_S = 1.0
MOST_POINTS = 240
"""Of a timeline. When there are more, every other one goes."""


def new_bar(console: Console) -> Progress | None:
    """A bar whose tasks have a field `detail`; None if nobody is watching."""
    if not console.is_terminal:
        return None
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


class RunProgress:
    """Rows done and failed, rate and ETA of one run. Rows that an earlier run did count as done, not in the rate."""

    def __init__(self, console: Console) -> None:
        self.phase_s: dict[str, float] = {}
        """Wall-clock seconds spent in each phase, in the order they came."""
        self.done = self.failed = self.total = 0
        self._bar = new_bar(console)
        self._task = self._bar.add_task("", total=None, detail="") if self._bar else None
        self._logged_at = time.monotonic()
        self._working_since: float | None = None
        self._new = 0
        self._counts = ""
        self.timeline: list[tuple[float, int]] = []
        """Seconds since the first worker began, and the number of rows done by then; those of earlier runs not
        counted."""
        self._point_interval_s = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Shows and times one phase of the run."""
        start = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.start()
            self._bar.update(self._task, description=name)
        else:
            logger.info("%s", name)
            self._logged_at = start
        try:
            with self._reminders(name, start):
                yield
        finally:
            self.phase_s[name] = self.phase_s.get(name, 0.0) + time.monotonic() - start
            self._counts = ""
            if self._bar:
                self._bar.stop()

    @contextmanager
    def _reminders(self, name: str, start: float) -> Iterator[None]:
        """Inside, a thread says how long the phase has lasted, where 30 s have passed without a line."""
        ended = threading.Event()

        def remind() -> None:
            while not ended.wait(_LOOK_INTERVAL_S):
                now = time.monotonic()
                if now - self._logged_at >= LOG_INTERVAL_S:
                    self._logged_at = now
                    logger.info("%s, %.0f s so far%s", name, now - start, self._counts)

        thread = threading.Thread(target=remind, name="reminders", daemon=True)
        if not self._bar:
            thread.start()
        try:
            yield
        finally:
            ended.set()

    def split_phase(self, name: str, earlier: str, *, last_s: float) -> None:
        """Calls all but the last seconds of a phase by another name: workers load while the graph already runs."""
        phases = self.phase_s
        whole = phases.pop(name)
        phases[earlier], phases[name] = max(0.0, whole - last_s), min(whole, last_s)

    def expect(self, *, total: int, done: int, failed: int = 0) -> None:
        """Starts a new count; `done` of `total` rows are there already, of which some have failed."""
        self.total, self.done, self.failed, self._new = total, done, failed, 0
        self._working_since = None
        self.timeline, self._point_interval_s = [], 0.0
        self._show()

    def advance(self, *, rows: int, failed: int, began_at: float) -> None:
        """Counts rows whose work began at this time (seconds since the epoch, by the worker's clock)."""
        self.done += rows
        self.failed += failed
        self._new += rows
        self._working_since = min(began_at, self._working_since or began_at)
        self._add_point()
        self._show()

    @property
    def working_s(self) -> float:
        """Seconds since the first worker began; 0 before that."""
        return max(0.0, time.time() - self._working_since) if self._working_since else 0.0

    @property
    def rate(self) -> float:
        """Rows per second, from the first worker's begin until now."""
        return self._new / self.working_s if self.working_s else 0.0

    def _add_point(self) -> None:
        """In bounded memory: after weeks the points are as far apart as they need to be."""
        if self.timeline and self.working_s - self.timeline[-1][0] < self._point_interval_s:
            return
        self.timeline.append((round(self.working_s, 2), self._new))
        if len(self.timeline) > MOST_POINTS:
            self.timeline = self.timeline[1::2]
            self._point_interval_s = 2 * self.working_s / MOST_POINTS

    def _show(self) -> None:
        detail = f"{self.failed} failed, workers are starting"
        if self.rate:
            left = timedelta(seconds=round((self.total - self.done) / self.rate))
            detail = f"{self.failed} failed, {self.rate:.1f} images/s, {left} left"
        counts = f"{self.done} of {self.total} done, {detail}"
        self._counts = f": {counts}"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, detail=detail)
        elif time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            logger.info("%s", counts)
