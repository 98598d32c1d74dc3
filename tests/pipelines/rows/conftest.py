"""A job whose plan is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.pipelines.rows import ScoreJob
from artimuse.sources import open_source
from artimuse.table.plan import plan_passthrough_schema, write_plan


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., ScoreJob]:
    """A job of the fake engine over a folder or manifest, with its plan written."""

    def make(location: Path, *, rows_per_shard: int = 100, witnesses: tuple[str, ...] = ()) -> ScoreJob:
        output = Folder.at(str(tmp_path / "out"))
        write_plan(open_source(str(location)), output, rows_per_shard=rows_per_shard, rows_per_group=8)
        return ScoreJob(
            output=output,
            rows_per_shard=rows_per_shard,
            engine=EngineConfig(name="fake"),
            strategy="ordered_100",
            limits=DecodeLimits(),
            passthrough=plan_passthrough_schema(output),
            witnesses=tuple(map(Location, witnesses)),
        )

    return make
