"""The status of a run on a cluster: one small actor between the workers and the driver.

Ray Train's own reports pass through a queue that is polled every two seconds, and would slow every step to that.
"""

from typing import Any

import ray

from artimuse.training.status import Status


class StatusActor:
    """Made into an actor by the driver."""

    def __init__(self) -> None:
        self._status = Status()
        self._stop = False

    def update(self, **changes: Any) -> bool:
        self._status.change(**changes)
        return self._stop

    def read(self) -> Status:
        return self._status

    def stop(self) -> None:
        self._stop = True


class RemoteReporter:
    """Implements `Reporter` over Ray's handle of a `StatusActor`."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def update(self, **changes: Any) -> bool:
        return bool(ray.get(self.actor.update.remote(**changes)))

    def read(self) -> Status:
        status: Status = ray.get(self.actor.read.remote())
        return status
