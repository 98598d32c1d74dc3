"""Tars and Parquet files for tests."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError
from artimuse.interfaces import Source
from artimuse.io.fetch import fetch
from artimuse.io.location import Location

HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""As the Image feature of HF datasets is stored."""


def tar(members: Mapping[str, bytes], tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    """In the order of the mapping, written by the standard library."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer, **options)
    return buffer.getvalue()


def rows_of(source: Source) -> list[dict[str, Any]]:
    """All rows, after a check of their schema."""
    batches = list(source.batches())
    for batch in batches:
        batch.validate(full=True)
        own = [field for field in batch.schema if field.name.startswith("artimuse:")]
        assert pa.schema(list(batch.schema)[2 + len(own) :]) == source.passthrough
    return [row for batch in batches for row in batch.to_pylist()]


def location_of(row: Mapping[str, Any]) -> Location:
    where = (row.get(f"artimuse:{name}") for name in ("offset", "length", "column"))
    return Location(row["uri"], *where, row["image_id"])


def bodies(source: Source, limits: DecodeLimits = DecodeLimits()) -> dict[str, bytes | RowError]:
    """image_id -> what is fetched."""
    return {row["image_id"]: fetch(location_of(row), limits) for row in rows_of(source)}
