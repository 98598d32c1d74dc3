"""What a person sees of a training run: a bar on a terminal, otherwise a log line every 30 seconds."""

import logging
import time
from datetime import timedelta

from rich.console import Console

from artimuse.runs.progress import LOG_INTERVAL_S, new_bar
from artimuse.training.bad_images import warn_of_left_out
from artimuse.training.status import Status

logger = logging.getLogger(__name__)


class TrainProgress:
    """Shows the status."""

    def __init__(self, console: Console) -> None:
        self._bar = new_bar(console)
        self._task = self._bar.add_task("", total=None, detail="") if self._bar else None
        self._told: set[str] = set()
        self._logged_at = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._step = 0
        self._num_bad_told = 0
        self._speed: list[str] = []

    def __enter__(self) -> "TrainProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, status: Status) -> None:
        self._warn(status)
        detail = self._detail(status)
        if self._bar and self._task is not None:
            self._bar.update(
                self._task,
                description=status.phase,
                completed=status.step,
                total=status.num_steps or None,
                detail=detail,
            )
            return
        # Every phase is told when it first comes: saving and validating come again and again.
        is_new = status.phase not in self._told
        if is_new or time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            how_far = f": step {status.step} of {status.num_steps}, {detail}" if status.num_steps else ""
            logger.info("%s%s", status.phase, how_far)
            self._told.add(status.phase)

    def _warn(self, status: Status) -> None:
        """At once of the first images that are left out; then when there are twice as many. The report has them all."""
        if status.num_bad_images >= max(1, 2 * self._num_bad_told):
            self._num_bad_told = status.num_bad_images
            warn_of_left_out(status.bad_images, status.num_bad_images)

    def _detail(self, status: Status) -> str:
        if not status.record:
            return f"workers: {status.world_size}" if status.world_size else ""
        if status.step != self._step:
            self._step = status.step
            self._speed = self._measure(status)
        parts = [f"loss {status.record['loss']:.4f}"]
        if status.validation.get("srcc") is not None:
            parts.append(f"SRCC {status.validation['srcc']:.3f}")
        return ", ".join([*parts, *self._speed])

    def _measure(self, status: Status) -> list[str]:
        """Samples per second and the time that is left, since the first step that was shown."""
        now = time.monotonic()
        if self._first is None or status.step < self._first[0]:
            self._first = (status.step, now)
        num_done, seconds = status.step - self._first[0], now - self._first[1]
        if not num_done or not seconds:
            return []
        rate = num_done / seconds
        left = timedelta(seconds=round((status.num_steps - status.step) / rate))
        return [f"{rate * status.record['num_samples']:.1f} samples/s", f"{left} left"]
