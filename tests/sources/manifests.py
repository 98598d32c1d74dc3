"""Manifests for tests, and what is read of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artimuse.errors import BadInput
from artimuse.sources import open_source

Rows = list[dict[str, Any]]


def manifest(here: Path, name: str, content: str | bytes | pa.Table) -> str:
    path = here / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def rows(location: str) -> Rows:
    source = open_source(location)
    batches = list(source.batches())
    for batch in batches:
        batch.validate(full=True)
        assert batch.schema.names[:2] == ["image_id", "uri"]
        assert pa.schema(list(batch.schema)[2:]) == source.passthrough
    return [row for batch in batches for row in batch.to_pylist()]


def refusal(location: str) -> str:
    with pytest.raises(BadInput) as caught:
        rows(location)
    message = str(caught.value)
    assert message.startswith(location)
    return message.removeprefix(location)
