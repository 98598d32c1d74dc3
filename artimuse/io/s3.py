"""S3, asked directly: keys are taken as they are, and a body is known to be whole before it counts."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from artimuse.io.patterns import ANY_DEPTH, Matcher, Pattern, literal_start
from artimuse.io.prefetch import prefetch
from artimuse.io.retries import NUM_ATTEMPTS, CutShort, whole, with_retries
from artimuse.io.store import Store, TooLarge

READ_TIMEOUT_S = 300.0
"""The most seconds for one attempt at one body, however slowly it drips."""
PART_BYTES = 64 * 2**20
"""A large file is sent and fetched in parts of this size."""
PARTS_AHEAD = 4
MAX_CONNECTIONS = 64
"""Per process: above the number of concurrent reads, so that none waits for a connection."""

Result = TypeVar("Result")


class S3Store(Store):
    """S3, with our retries in place of those of s3fs and botocore; only uploads have the client's own.

    Paths are `bucket/key`. Reads and listings take any key as it is, also one that holds `?versionId=` or ends in `/`.
    """

    def __init__(self) -> None:
        super().__init__(_filesystem(os.getpid(), 1))

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        return with_retries(lambda: self._run(lambda: self._get_object(path, max_bytes)))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        if not length:
            return b""
        return with_retries(lambda: self._run(lambda: self._get_range(path, start, length)))

    def size(self, path: str) -> int:
        bucket, key = self._split(path)
        answer = with_retries(lambda: self.filesystem.call_s3("head_object", Bucket=bucket, Key=key))
        return int(answer["ContentLength"])

    def names(self, path: str, *, prefix: str = "") -> list[str]:
        """The store itself filters: a listing of everything may be a thousand requests."""
        bucket, key = self._split(path)
        start = f"{key}/" if key else ""
        pages = self._pages(Bucket=bucket, Prefix=start + prefix, Delimiter="/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [PurePosixPath(key).name for key in keys if not key.endswith("/")]

    def find(self, path: str, pattern: Pattern) -> Iterator[str]:
        """Keys in order if the pattern may cross levels, else level by level; a page of at most 1,000 at a time."""
        bucket, key = self._split(path)
        start = f"{key}/" if key else ""
        matcher = Matcher(pattern)
        delimiter = "" if ANY_DEPTH in pattern else "/"
        # What the first segment begins with narrows the listing at no cost.
        pending = [(start, literal_start(pattern[0]), matcher.start)]
        while pending:
            level, narrowed, above = pending.pop()
            levels = []
            for page in self._pages(Bucket=bucket, Prefix=level + narrowed, Delimiter=delimiter):
                for entry in page.get("Contents", ()):
                    # A key that ends in `/` marks a folder in some tools; no picture has such a name.
                    if not entry["Key"].endswith("/") and matcher.matches(entry["Key"][len(level) :], above):
                        yield entry["Key"][len(start) :]
                for entry in page.get("CommonPrefixes", ()):
                    reached = matcher.enter(above, entry["Prefix"][len(level) : -1])
                    if matcher.may_go_on(reached):
                        levels.append((entry["Prefix"], "", reached))
            pending += reversed(levels)

    def upload(self, local: Path, path: str) -> None:
        """A fault costs one part, not the file: the client itself tries each request again."""
        _filesystem(os.getpid(), NUM_ATTEMPTS).put_file(str(local), path, chunksize=PART_BYTES)

    def download(self, path: str, local: Path) -> None:
        """A fault costs one part, not the file."""
        num_bytes = self.size(path)

        def read_part(start: int) -> bytes:
            return self.read_range(path, start, min(PART_BYTES, num_bytes - start))

        with ThreadPoolExecutor(PARTS_AHEAD) as threads, local.open("wb") as file:
            starts = range(0, num_bytes, PART_BYTES)
            with closing(prefetch(read_part, starts, threads=threads, ahead=PARTS_AHEAD)) as parts:
                file.writelines(parts)

    def _split(self, path: str) -> tuple[str, str]:
        bucket: str = self.filesystem.split_path(path)[0]
        return bucket, path.removeprefix(bucket).removeprefix("/")

    def _pages(self, **request: str) -> Iterator[dict[str, Any]]:
        while True:
            page = with_retries(lambda: self.filesystem.call_s3("list_objects_v2", **request))
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def _get_object(self, path: str, max_bytes: int | None) -> bytes:
        """One request: the answer's header tells the size before the body is read."""
        bucket, key = self._split(path)
        response = await self.filesystem._call_s3("get_object", Bucket=bucket, Key=key)
        async with response["Body"] as body:
            num_bytes = response.get("ContentLength")
            if num_bytes is None:  # a body in chunks
                num_bytes = (await self.filesystem._call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"]
            if max_bytes is not None and num_bytes > max_bytes:
                raise TooLarge(num_bytes)
            return whole(await body.read(), num_bytes)

    async def _get_range(self, path: str, start: int, length: int) -> bytes:
        bucket, key = self._split(path)
        asked = f"bytes={start}-{start + length - 1}"
        response = await self.filesystem._call_s3("get_object", Bucket=bucket, Key=key, Range=asked)
        async with response["Body"] as body:
            sent = response.get("ContentRange", "another range")
            if not sent.startswith(asked.replace("=", " ")):
                raise CutShort(f"asked for {asked}, the store sent {sent}")
            return whole(await body.read(), length)

    def _run(self, read: Callable[[], Awaitable[Result]]) -> Result:
        """Runs it from any thread: the store's requests share one event loop."""

        async def within_time() -> Result:
            return await asyncio.wait_for(read(), READ_TIMEOUT_S)

        return cast(Result, sync(self.filesystem.loop, within_time))


def forget_client() -> None:
    """Closes the client, for a process whose credentials or endpoint change."""
    _filesystem.cache_clear()


@lru_cache(maxsize=2)
def _filesystem(_process: int, num_attempts: int) -> AbstractFileSystem:
    """Configured as any other by the AWS variables and fsspec's configuration; each request has so many attempts."""
    configured = cast(dict[str, Any], fsspec.config.conf.get("s3", {})).get("config_kwargs", {})
    retries = {"total_max_attempts": num_attempts, "mode": "standard"}
    client = {"retries": retries, "max_pool_connections": MAX_CONNECTIONS, **configured}
    filesystem = fsspec.filesystem("s3", config_kwargs=client, use_listings_cache=False, skip_instance_cache=True)
    # Five of s3fs's times five of botocore's times ours would be hours.
    filesystem.retries = 1
    return cast(AbstractFileSystem, filesystem)
