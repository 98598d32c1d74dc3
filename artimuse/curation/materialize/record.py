"""materialize.json: what DEST is made of, and how far the run got."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from artimuse.curation.materialize.units import PARTS
from artimuse.curation.selection import Selection
from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.io.reading import open_input
from artimuse.runs.lock import LOCK_FILE
from artimuse.runs.record import RecordFile, differences

Status = Literal["running", "interrupted", "finished"]
"""`running` is also what a killed run leaves."""
MAX_FAILURES = 100
"""Failed images that the record itself lists; the parts have all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterializeRecord:
    """The contents of materialize.json."""

    artimuse: str
    """The version that wrote it."""
    status: Status
    started_at: str
    selection: str
    """Where the selection was read."""
    fingerprint: Mapping[str, Any]
    """What may not change between runs on one DEST."""
    config: Mapping[str, Any]
    finished_at: str | None = None
    report: Mapping[str, Any] | None = None
    failed: tuple[Mapping[str, Any], ...] = ()
    """The first images that could not be copied, and why."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        return cls(**known | {"failed": tuple(values.get("failed", ()))})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"failed": list(self.failed)}


RECORD_FILE = RecordFile("materialize.json", MaterializeRecord)


def refuse_foreign_files(output: Folder) -> None:
    """Raises BadOutput if DEST has something in it that no run of ours has made."""
    if RECORD_FILE.read(output) is not None:
        return
    foreign = [name for name in output.entries() if name not in (LOCK_FILE, PARTS)]
    if foreign:
        raise BadOutput(f"{output.url()} has files of its own ({sorted(foreign)[0]}); choose a new or empty DEST")


def refuse_other_settings(output: Folder, saved: MaterializeRecord, asked: Mapping[str, Any]) -> None:
    """Raises RunMismatch naming all that differs from what DEST was made with."""
    RECORD_FILE.refuse_mismatch(output, differences(saved.fingerprint, asked))


def selection_digest(selection: Selection) -> str:
    """SHA-256 of the end of its file, where the sizes, places and bounds of all its columns are.

    The whole file may be as large as the score table.
    """
    with open_input(selection.location) as file:
        file.seek(-8, os.SEEK_END)
        footer_bytes = int.from_bytes(file.read(4), "little")
        file.seek(-8 - footer_bytes, os.SEEK_END)
        return hashlib.sha256(file.read()).hexdigest()
