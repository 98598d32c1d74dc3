"""A folder at whose n-th change its process dies."""

from dataclasses import dataclass, field

from artimuse.io.folder import Folder


class Crash(BaseException):
    """Not an Exception, so that nothing mistakes it for one: a killed process runs no handler."""


@dataclass(frozen=True, slots=True)
class CrashingFolder(Folder):
    """Does so many writes and removals, and raises Crash in place of the next."""

    num_steps: int
    steps: list[str] = field(default_factory=list)
    """What was done."""

    @staticmethod
    def over(folder: Folder, num_steps: int) -> "CrashingFolder":
        return CrashingFolder(folder.root, num_steps)

    def write(self, name: str, data: bytes) -> None:
        self._step(f"write {name}")
        Folder.write(self, name, data)

    def remove(self, name: str) -> None:
        self._step(f"remove {name}")
        Folder.remove(self, name)

    def _step(self, deed: str) -> None:
        if len(self.steps) >= self.num_steps:
            raise Crash
        self.steps.append(deed)
