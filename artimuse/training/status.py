"""How far a run is: what the workers tell the driver, and how it tells them to stop."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Status:
    """How far a run is."""

    step: int = 0
    """Steps that are done."""
    num_steps: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    """The record of the last step; empty before the first."""
    validation: dict[str, Any] = field(default_factory=dict)
    """The result of the last validation; empty before the first."""
    world_size: int = 0
    phase: str = "starting the workers"
    num_bad_images: int = 0
    """Images that are left out, those of earlier runs on this OUTPUT included."""
    bad_images: dict[str, str] = field(default_factory=dict)
    """Image id -> why, of the first few of them."""
    problem: tuple[str, str] | None = None
    """Class and message of an error that would come again: no restart would help."""
    is_stopped: bool = False
    """The workers have stopped because they were asked to."""

    def change(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self, name, value)


class Reporter(Protocol):
    """A worker's way to the status."""

    def update(self, **changes: Any) -> bool:
        """Changes fields of the status; returns whether the driver wants the workers to stop."""
        ...

    def read(self) -> Status: ...
