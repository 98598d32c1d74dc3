"""moto's S3, with signatures and policies enforced."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.s3.server import BUCKET, PRIVATE, Keys, Server, client, free_port, stop, wait_until_up

_EVERYTHING = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
_NOTHING_PRIVATE = {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{PRIVATE}/*"}
_POLICIES = {"owner": [_EVERYTHING], "reader": [_EVERYTHING, _NOTHING_PRIVATE]}


@contextmanager
def moto_server(folder: Path) -> Iterator[Server]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # Three calls for each of two users are taken from anyone; from then on it must be one of them.
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(3 * len(_POLICIES))}
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        wait_until_up(f"{url}/moto-api/", process)
        owner, reader = (_make_user(url, name) for name in _POLICIES)
        server = Server(url, owner, reader)
        for bucket in (BUCKET, PRIVATE):
            server.client("s3").create_bucket(Bucket=bucket)
        yield server
    finally:
        stop([process])


def _make_user(url: str, name: str) -> Keys:
    iam = client("iam", url, Keys("anyone", "anything"))
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": _POLICIES[name]}
    iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Keys(made["AccessKeyId"], made["SecretAccessKey"])
