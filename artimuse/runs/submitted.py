"""What holds inside `ray job submit`, where the working directory is a copy that disappears."""

import os
from collections.abc import Mapping
from pathlib import Path

from artimuse.errors import ClusterProblem


def is_submitted_job() -> bool:
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def refuse_relative_paths(locations: Mapping[str, str], *, models: Mapping[str, str]) -> None:
    """Raises ClusterProblem for relative paths in a submitted job: they would point into its temporary copy.

    Both map what an argument is called to its value.
    """
    if not is_submitted_job():
        return
    for name, location in locations.items():
        _refuse_relative_path(name, location)
    for name, model in models.items():
        # It may be a built-in name or a Hub id, which look like relative paths.
        if model.startswith(".") or Path(model).is_dir():
            _refuse_relative_path(name, model)


def _refuse_relative_path(name: str, location: str) -> None:
    if "://" not in location and not Path(location).is_absolute():
        raise ClusterProblem(f"{name} {location}: a submitted job needs an absolute path or a URL")
