"""The JSON file in OUTPUT that says what a run is made of and how far it got."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Generic, Protocol, Self, TypeVar

from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Record(Protocol):
    """A frozen dataclass. `table.record` and `training.record` have one each."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. Raises KeyError or TypeError for what is no such record."""
        ...

    def as_dict(self) -> dict[str, Any]: ...


RecordType = TypeVar("RecordType", bound=Record)


class RecordFile(Generic[RecordType]):
    """The JSON file of the records of one kind of run, in any OUTPUT."""

    def __init__(self, name: str, record_class: type[RecordType]) -> None:
        self.name = name
        self._record_class = record_class

    def read(self, output: Folder) -> RecordType | None:
        """None if there is none. Raises BadOutput if it is no JSON of ours."""
        if not output.exists(self.name):
            return None
        try:
            values = json.loads(output.read(self.name))
        except ValueError as error:
            raise BadOutput(f"{output.url(self.name)} is not valid JSON: {error}") from None
        try:
            return self._record_class.of(values)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadOutput(f"{output.url(self.name)} was not written by artimuse ({error!r})") from error

    def write(self, output: Folder, record: RecordType) -> None:
        output.write(self.name, (json.dumps(record.as_dict(), indent=2, ensure_ascii=False) + "\n").encode())

    def exists(self, output: Folder) -> bool:
        return output.exists(self.name)

    def remove(self, output: Folder) -> None:
        output.remove(self.name)

    def refuse_mismatch(self, output: Folder, differing: Sequence[str]) -> None:
        """Raises RunMismatch with these differences, as of `differences`, if there are any."""
        if differing:
            raise RunMismatch(
                f"{output.url()} was made by another run ({'; '.join(differing)});"
                f" choose a new OUTPUT, or run with the settings in its {self.name}"
            )


def differences(saved: Mapping[str, Any], asked: Mapping[str, Any], *, kind: str = "", hint: str = "") -> list[str]:
    """A sentence for every setting that is asked for with another value than OUTPUT was made with."""
    prefix, suffix = f"{kind} " if kind else "", f" ({hint})" if hint else ""
    return [
        f"{prefix}{name}: {_both(saved.get(name), value)}{suffix}"
        for name, value in asked.items()
        if saved.get(name) != value
    ]


def _both(saved: Any, asked: Any) -> str:
    """Two values side by side; of two digests, which tell a person nothing, only that they differ."""
    if all(_DIGEST.fullmatch(str(value)) for value in (saved, asked)):
        return "another one than OUTPUT has"
    shown = [_shown(value) for value in (saved, asked)]
    return f"OUTPUT has {shown[0]}, this run has {shown[1]}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return "one" if _DIGEST.fullmatch(str(value)) else repr(value)


def package_versions(names: Sequence[str]) -> dict[str, str]:
    return {name: version(name) for name in names}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
