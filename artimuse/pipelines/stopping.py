"""SIGTERM and Ctrl-C: while rows are in flight the first asks to finish them, the second ends the run at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.is_set = False
        self._is_draining = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt. Outside the main thread signals are left as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous: dict[int, Any] = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Inside, the first signal only sets `is_set`."""
        self._is_draining = True
        try:
            with self.heeded():  # once more: Ray takes SIGTERM for itself when a driver connects
                yield
        finally:
            self._is_draining = False

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.is_set or not self._is_draining:
            raise KeyboardInterrupt
        self.is_set = True
        logger.warning("%s: finishing what is in flight; once more to stop at once", signal.Signals(number).name)
