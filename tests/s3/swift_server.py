"""OpenStack Swift's S3 API on one node: the second opinion, from `make test-all`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

import pytest

from tests.s3.server import BUCKET, PRIVATE, REGION, Keys, Server, free_port, stop, wait_until_up

OWNER = Keys("test:owner", "owning")
READER = Keys("test:reader", "reading")
PYTHON = Path(os.environ.get("SWIFT_PYTHON", ".venv-s3/bin/python"))
"""Of the environment with Swift in it, which the make target makes: its dependencies are not ours."""

_STORES = ("account", "container", "object")
_FILTERS = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "s3api", "tempauth", "copy", "slo")


@contextmanager
def swift_server(folder: Path) -> Iterator[Server]:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: `make test-all` installs Swift")
    proxy_port = free_port()
    url = f"http://127.0.0.1:{proxy_port}"
    _write(folder / "swift.conf", _SWIFT)
    for store in _STORES:
        port = free_port()
        _make_ring(folder, store, port)
        _write(folder / f"{store}.conf", _STORE.format(folder=folder, port=port, store=store, user=getuser()))
    _write(folder / "proxy.conf", _proxy_config(folder, proxy_port))
    (folder / "devices" / "disk").mkdir(parents=True)
    processes = [_start(folder, name) for name in (*_STORES, "proxy")]
    try:
        wait_until_up(f"{url}/healthcheck", *processes)
        server = Server(url, OWNER, READER)
        for bucket in (BUCKET, PRIVATE):
            server.client("s3").create_bucket(Bucket=bucket)
        # Who may read is said per bucket here, and to the rest of the account only as to everyone.
        server.client("s3").put_bucket_acl(Bucket=BUCKET, ACL="public-read")
        yield server
    finally:
        stop(processes)


def _make_ring(folder: Path, store: str, port: int) -> None:
    """One partition power, one replica, one device."""
    builder = str(folder / f"{store}.builder")
    device = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", str(port), "--device", "disk"]
    for step in (["create", "4", "1", "1"], ["add", *device, "--weight", "1"], ["rebalance"]):
        tool = PYTHON.with_name("swift-ring-builder")
        subprocess.run([PYTHON, tool, builder, *step], check=True, stdout=subprocess.DEVNULL)


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        command = [PYTHON, PYTHON.with_name(f"swift-{name}-server"), folder / f"{name}.conf"]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _proxy_config(folder: Path, port: int) -> str:
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _FILTERS if name not in _SPECIAL)
    return _PROXY.format(folder=folder, port=port, user=getuser(), pipeline=" ".join(_FILTERS)) + filters


def _write(path: Path, text: str) -> None:
    path.write_text(text)


_SWIFT = """
[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = gold
default = yes
"""
_STORE = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 1
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
[pipeline:main]
pipeline = {store}-server
[app:{store}-server]
use = egg:swift#{store}
"""
_SPECIAL = ("s3api", "tempauth")
# On a busy machine Swift's half second to connect makes it refuse what it could not look up.
_PROXY = (
    """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 1
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 10
node_timeout = 60
error_suppression_limit = 1000000
[filter:s3api]
use = egg:swift#s3api
location = """
    + REGION
    + f"""
[filter:tempauth]
use = egg:swift#tempauth
user_test_owner = {OWNER.secret} .admin
user_test_reader = {READER.secret}
"""
)
