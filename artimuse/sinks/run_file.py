"""run.json: what a run is made of, and how far it got. The plan exists if and only if run.json does."""

import json
from collections.abc import Mapping
from typing import Any

from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder

RUN_FILE = "run.json"
OPTIONAL_KINDS = ("texts",)


def read_run(output: Folder) -> dict[str, Any] | None:
    """The record of the run in OUTPUT; None if there is none. Raises BadOutput if it is not JSON of ours."""
    if not output.exists(RUN_FILE):
        return None
    try:
        record = json.loads(output.read(RUN_FILE))
    except ValueError as error:
        raise BadOutput(f"{output.url(RUN_FILE)} is not valid JSON: {error}") from None
    if not isinstance(record, dict) or not {"fingerprints", "plan"} <= record.keys():
        raise BadOutput(f"{output.url(RUN_FILE)} was not written by artimuse")
    return record


def write_run(output: Folder, record: Mapping[str, Any]) -> None:
    output.write(RUN_FILE, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def refuse_mismatch(output: Folder, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises RunMismatch naming every field in which what is asked differs from what OUTPUT was made with.

    An OUTPUT without texts may get its first ones under any settings.
    """
    differing = [
        f"{kind} {field}: OUTPUT has {saved.get(kind, {}).get(field)!r}, this run has {value!r}"
        for kind, fields in asked.items()
        if kind in saved or kind not in OPTIONAL_KINDS
        for field, value in fields.items()
        if saved.get(kind, {}).get(field) != value
    ]
    if differing:
        raise RunMismatch(
            f"{output.url('')} was made by another run ({'; '.join(differing)});"
            " choose a new OUTPUT, or run with the settings in its run.json"
        )
