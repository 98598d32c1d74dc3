"""run.json: what a scoring run is made of, and how far it got. The plan is whole if and only if run.json is there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from artimuse.io.folder import Folder
from artimuse.runs.record import RecordFile, differences
from artimuse.table.plan import PlanFacts

Status = Literal["running", "interrupted", "limited", "finished"]
"""`running` is also what a killed run leaves; `limited` is one that --limit has stopped."""
# An output without texts may get its first ones under any settings.
# Outputs of versions that did not know of decoders have none.
_OPTIONAL_KINDS = ("texts", "decoder")
_HINTS = {"decoder": "--accept-decoder allows it"}
"""What to do about a difference, by kind, if it need not be avoided."""
_MAY_BE_ABSENT = ("parity", "finished_at", "report", "starts")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRecord:
    """The contents of run.json."""

    artimuse: str
    """The version that wrote it."""
    status: Status
    started_at: str
    note: str | None
    """What a reader of the scores must know."""
    fingerprints: Mapping[str, Mapping[str, Any]]
    """What may not change between runs on one output: `plan`, `decoder`, `score` and, once there are any, `texts`."""
    plan: PlanFacts
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    parity: Mapping[str, Any] | None = None
    """How far the engine is from the reference; None if they were not compared."""
    finished_at: str | None = None
    report: Mapping[str, Any] | None = None
    """The report of a run that has come to its end."""
    starts: tuple[Mapping[str, Any], ...] = ()
    """The earlier runs on this OUTPUT, as of `start`: rows may be of any of them."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "plan": PlanFacts(**values["plan"]), "starts": tuple(values.get("starts", ()))})

    @property
    def start(self) -> Mapping[str, Any]:
        """When and with what this run was started."""
        return {name: getattr(self, name) for name in ("started_at", "artimuse", "config", "versions")}

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self) | {"starts": list(self.starts) or None}
        return {name: value for name, value in values.items() if value is not None or name not in _MAY_BE_ABSENT}


RUN_FILE = RecordFile("run.json", ScoreRecord)


def refuse_other_settings(output: Folder, saved: ScoreRecord, asked: ScoreRecord) -> None:
    """Raises RunMismatch naming every field in which what is asked differs from what OUTPUT was made with."""
    RUN_FILE.refuse_mismatch(
        output,
        [
            sentence
            for kind, fields in asked.fingerprints.items()
            if kind in saved.fingerprints or kind not in _OPTIONAL_KINDS
            for sentence in differences(saved.fingerprints.get(kind, {}), fields, kind=kind, hint=_HINTS.get(kind, ""))
        ],
    )
