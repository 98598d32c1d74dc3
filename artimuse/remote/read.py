"""Whole files and ranges of them: all of the bytes, after retries, or an error."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, TypeVar, cast

from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from artimuse.remote.retries import CutShort, FinalAnswer, with_retries
from artimuse.remote.store import bucket_and_key, is_s3, open_store

READ_TIMEOUT_S = 300.0
"""For one attempt at one body, however slowly it drips."""

Result = TypeVar("Result")


class TooLarge(FinalAnswer):
    """A file over the limit, of which nothing was read."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(f"{num_bytes} bytes")
        self.num_bytes = num_bytes


def read_file(url: str, *, max_bytes: int) -> bytes:
    """Raises TooLarge before reading, FileNotFoundError, PermissionError, GaveUp, or what the store raises."""
    store, path = open_store(url)
    if is_s3(url):
        bucket, key = bucket_and_key(path)
        return with_retries(lambda: _run(store, lambda: _get_object(store, bucket, key, max_bytes)))
    return with_retries(lambda: _read_file(store, path, max_bytes))


def read_range(url: str, start: int, length: int) -> bytes:
    """Exactly `length` bytes; errors as of `read_file`."""
    if not length:
        return b""
    store, path = open_store(url)
    if is_s3(url):
        bucket, key = bucket_and_key(path)
        return with_retries(lambda: _run(store, lambda: _get_range(store, bucket, key, start, length)))
    return with_retries(lambda: whole(store.cat_file(path, start=start, end=start + length), length))


def file_size(url: str) -> int:
    """In bytes, as the store tells it; errors as of `read_file`."""
    store, path = open_store(url)
    if is_s3(url):
        bucket, key = bucket_and_key(path)
        return int(with_retries(lambda: store.call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"])
    return int(with_retries(lambda: _file_info(store, path))["size"])


def open_remote(url: str, *, read_ahead_bytes: int) -> BinaryIO:
    """A seekable file that reads only what is asked for and a little ahead. Raises as `read_file`."""
    return cast(BinaryIO, io.BufferedReader(_RangeFile(url), read_ahead_bytes))


class _RangeFile(io.RawIOBase):
    """A remote file as ranges of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.size = file_size(url)
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, origin + offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self.size - self.position))
        buffer[:length] = read_range(self.url, self.position, length)
        self.position += length
        return length


def _read_file(store: AbstractFileSystem, path: str, max_bytes: int) -> bytes:
    num_bytes = _file_info(store, path)["size"]
    if num_bytes is None:
        # Some servers do not tell; the decoder refuses what is over the limit.
        return cast(bytes, store.cat_file(path, end=max_bytes + 1))
    if num_bytes > max_bytes:
        raise TooLarge(num_bytes)
    # As a range: to read a whole file s3fs and others fill a buffer of the right size, however little arrives.
    return whole(store.cat_file(path, start=0, end=num_bytes), num_bytes) if num_bytes else b""


def _file_info(store: AbstractFileSystem, path: str) -> dict[str, Any]:
    info = cast(dict[str, Any], store.info(path))
    if info["type"] == "directory":
        raise IsADirectoryError(path)
    return info


async def _get_object(store: AbstractFileSystem, bucket: str, key: str, max_bytes: int) -> bytes:
    """One request: the answer's header tells the size before the body is read."""
    response = await store._call_s3("get_object", Bucket=bucket, Key=key)
    async with response["Body"] as body:
        num_bytes = response.get("ContentLength")
        if num_bytes is None:  # a body in chunks
            num_bytes = (await store._call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"]
        if num_bytes > max_bytes:
            raise TooLarge(num_bytes)
        return whole(await body.read(), num_bytes)


async def _get_range(store: AbstractFileSystem, bucket: str, key: str, start: int, length: int) -> bytes:
    asked = f"bytes={start}-{start + length - 1}"
    response = await store._call_s3("get_object", Bucket=bucket, Key=key, Range=asked)
    async with response["Body"] as body:
        sent = response.get("ContentRange", "another range")
        if not sent.startswith(asked.replace("=", " ")):
            raise CutShort(f"asked for {asked}, the store sent {sent}")
        return whole(await body.read(), length)


def _run(store: AbstractFileSystem, read: Callable[[], Awaitable[Result]]) -> Result:
    """From any thread: the store's requests share one event loop."""

    async def within_time() -> Result:
        return await asyncio.wait_for(read(), READ_TIMEOUT_S)

    return cast(Result, sync(store.loop, within_time))


def whole(data: bytes, num_bytes: int) -> bytes:
    """The data, if it is all of it. Raises CutShort."""
    if len(data) != num_bytes:
        raise CutShort(f"{len(data)} bytes arrived of {num_bytes}")
    return data
