"""SIGTERM and Ctrl-C: while work is in flight the first asks to finish it, the second ends the run at once."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a stop was asked for, and how long what is in flight may still take."""

    def __init__(self, grace_s: float, *, doing: str) -> None:
        """`doing` says what the first signal leads to."""
        self.doing = doing
        self.grace_s = grace_s
        self._asked_at: float | None = None
        self._is_draining = False

    @property
    def is_set(self) -> bool:
        return self._asked_at is not None

    @property
    def left_s(self) -> float:
        """Infinite before a stop was asked for; not below 0."""
        if self._asked_at is None:
            return float("inf")
        return max(0.0, self._asked_at + self.grace_s - time.monotonic())

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt. Outside the main thread signals are left as they are."""
        if not _is_main_thread():
            yield
            return
        previous: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
        self.heed()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def heed(self) -> None:
        """Takes the signals. Call it again after connecting to Ray, which takes SIGTERM for itself (Ray 2.60)."""
        if _is_main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._note)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Inside, the first signal only sets `is_set`."""
        self._is_draining = True
        try:
            yield
        finally:
            self._is_draining = False

    def _note(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.is_set or not self._is_draining:
            raise KeyboardInterrupt(f"{name}; the same command goes on from what is on disk")
        self._asked_at = time.monotonic()
        logger.warning("%s: %s, for at most %.0f s; once more to stop at once", name, self.doing, self.grace_s)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
