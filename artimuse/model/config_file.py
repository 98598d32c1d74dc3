"""A checkpoint's config.json as it lies on disk or will, with errors that name the file and the key.

Read as plain JSON: `AutoConfig` would ask to run the code inside official checkpoints.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artimuse.errors import BadCheckpoint

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Keys are dotted: `vision_config.image_size`."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, directory: Path) -> "ConfigFile":
        path = directory / "config.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadCheckpoint(f"{path}: missing; a checkpoint is a directory with config.json") from None
        except (OSError, ValueError) as error:
            raise BadCheckpoint(f"{path}: not readable as JSON ({error})") from error
        if not isinstance(values, dict):
            raise BadCheckpoint(f"{path}: expected a JSON object")
        return cls(path, values)

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value, or the default if the key or one of its parents is absent or null."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return value
        if default is _REQUIRED:
            raise BadCheckpoint(f"{self.path}: the key {key} is missing")
        return default

    def expect(self, key: str, accepted: tuple[object, ...], default: Any = _REQUIRED) -> None:
        """Raises BadCheckpoint unless the value is one that this version can run."""
        value = self.get(key, default)
        if value not in accepted:
            raise BadCheckpoint(
                f"{self.path}: {key} is {value!r}, supported: {', '.join(repr(known) for known in accepted)}"
            )


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
