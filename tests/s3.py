"""A real S3 server for tests: SeaweedFS in one process, its data and its log under one folder."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS, SECRET = "nightshift-test", "not-a-secret-of-anybody"
READER = "nightshift-reader"


# so that a killed test run leaves no server behind
_UNTIL_STDIN_CLOSES = '"$@" & cat; kill -9 $!'


class S3(NamedTuple):
    """A running server."""

    endpoint: str
    bucket: str = "nightshift"  # one is enough: each takes several volumes of the server

    def environment(self, access: str = ACCESS, secret: str = SECRET) -> dict[str, str]:
        """Where boto3's own chain finds credentials; nothing of the machine's own is read."""
        return {
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self) -> Any:
        """A client of the tests' own, beside the one under test."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(connect_timeout=2, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """A server with two accounts, ended with the block: one may do everything, the other only read."""
    names = ("s3", "master", "volume", "filer")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(2 * len(names)), strict=True))
    config = folder / "accounts.json"
    config.write_text(json.dumps({"identities": [_account(ACCESS, ["Admin"]), _account(READER, ["Read", "List"])]}))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "s3.config": config,
        "filer.localSocket": folder / "filer.sock",
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,  # the default is 30 GB
        "volume.max": 50,
    }
    for name, port in ports.items():
        server, _, protocol = name.partition(".")
        options[f"{server}.port{'.' * bool(protocol)}{protocol}"] = port
    command = [str(Path(sys.executable).with_name("weed")), "server", "-filer", "-s3"]
    command += [f"-{name}={value}" for name, value in options.items()]
    s3 = S3(f"http://127.0.0.1:{ports['s3']}")
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", _UNTIL_STDIN_CLOSES, "sh", *command],
            cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(s3, process, folder / "weed.log")
            yield s3
        finally:
            process.communicate()


def _account(name: str, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": actions}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(s3: S3, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until an object can be written: the gateway answers before the rest of the server is there."""
    until = time.monotonic() + 60
    client = s3.client()
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if not client.list_buckets()["Buckets"]:
                client.create_bucket(Bucket=s3.bucket)
            client.put_object(Bucket=s3.bucket, Key="ready", Body=b"ready")
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
