"""One connection per process and kind of store, with our own retries in place of every layer's own."""

import os
from functools import lru_cache
from typing import Any, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

MAX_CONNECTIONS = 64
"""Per process: above the number of concurrent reads, so that none waits for a connection."""


def is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def open_store(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it.

    Raises ValueError or ImportError for a scheme that cannot be read here.
    """
    if is_s3(url):
        # Not fsspec's own parsing: to that, `::` in a key chains two file systems.
        return s3(), url.partition("://")[2]
    filesystem, path = url_to_fs(url, use_listings_cache=False) if "::" not in url else url_to_fs(url)
    return filesystem, path


def s3() -> AbstractFileSystem:
    """The S3 client of this process, configured as any other by the AWS variables and fsspec's configuration."""
    return _s3_of(os.getpid())


def forget_stores() -> None:
    """For a process whose credentials or endpoints change."""
    _s3_of.cache_clear()


def bucket_and_key(path: str) -> tuple[str, str]:
    """Any key, also one that holds `?versionId=` or ends in `/`, as it is."""
    bucket: str = s3().split_path(path)[0]
    return bucket, path.removeprefix(bucket).removeprefix("/")


@lru_cache(maxsize=1)
def _s3_of(_process: int) -> AbstractFileSystem:
    configured = cast(dict[str, Any], fsspec.config.conf.get("s3", {})).get("config_kwargs", {})
    client = {"retries": {"total_max_attempts": 1}, "max_pool_connections": MAX_CONNECTIONS, **configured}
    filesystem = fsspec.filesystem("s3", config_kwargs=client, use_listings_cache=False, skip_instance_cache=True)
    # Five of s3fs's times five of botocore's times ours would be hours.
    filesystem.retries = 1
    return cast(AbstractFileSystem, filesystem)
