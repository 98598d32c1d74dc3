"""Where the workers tell the driver how far they are, and it tells them to stop: one small actor.

Ray Train's own reports pass through a queue that is polled every two seconds, and would slow every step to that.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Status:
    """How far a run is."""

    step: int = 0
    """Steps that are done."""
    num_steps: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    """Of the last step; empty before the first."""
    validation: dict[str, Any] = field(default_factory=dict)
    """The last one; empty before the first."""
    world_size: int = 0
    phase: str = "starting the workers"
    problem: tuple[str, str] | None = None
    """Class and message of an error that would come again: no restart would help."""
    is_stopped: bool = False
    """The workers have stopped because they were asked to."""


class Board:
    """Made into an actor by the driver."""

    def __init__(self) -> None:
        self._status = Status()
        self._stop = False

    def update(self, **changes: Any) -> bool:
        """Returns whether the driver wants the workers to stop."""
        for name, value in changes.items():
            setattr(self._status, name, value)
        return self._stop

    def read(self) -> Status:
        return self._status

    def stop(self) -> None:
        self._stop = True
