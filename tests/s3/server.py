"""What the tests need to know of an S3 server, whichever it is."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from artimuse.io.s3 import forget_client

REGION = "us-east-1"
BUCKET = "pictures"
PRIVATE = "private"
"""A bucket that `reader` may not read, and `owner` may."""


@dataclass(frozen=True)
class Keys:
    key: str
    secret: str


@dataclass(frozen=True)
class Server:
    """Both buckets exist. Requests with other keys than these are refused."""

    url: str
    owner: Keys
    reader: Keys

    def put(self, objects: Mapping[str, bytes], *, bucket: str = BUCKET) -> None:
        client = self.client("s3")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda item: client.put_object(Bucket=bucket, Key=item[0], Body=item[1]), objects.items()))

    def client(self, service: str) -> Any:
        return client(service, self.url, self.owner)


def client(service: str, url: str, keys: Keys) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=keys.key,
        aws_secret_access_key=keys.secret,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
    )


def settings(url: str, keys: Keys) -> dict[str, str]:
    """The environment that points an S3 client there, as a user would."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": keys.key,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def connect(monkeypatch: pytest.MonkeyPatch, url: str, keys: Keys) -> None:
    """Points this process's S3 client there."""
    for name, value in settings(url, keys).items():
        monkeypatch.setenv(name, value)
    forget_client()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(url: str, *processes: "subprocess.Popen[bytes]", timeout_s: float = 30) -> None:
    """Raises RuntimeError, naming the command, if one of the processes has ended before."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {timeout_s} s")


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    processes = list(processes)
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
