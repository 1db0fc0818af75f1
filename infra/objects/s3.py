"""Named objects on an S3 server. Credentials come from boto3's own chain and are never seen by us."""

import base64
import hashlib
import re
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.digest import Digest
from infra.errors import BadSetting
from infra.objects.base import (
    MEDIA,
    Held,
    Stat,
    check_condition,
    check_key,
    check_prefix,
    conflict,
    readable_file,
)
from infra.objects.explain import code_of, explained
from infra.objects.folder import hash_of
from infra.objects.multipart import Place, upload

# a file that is larger goes in parts
PART_BYTES = 16 << 20

_CHUNK = 1 << 20
_MARK = "nightshift-put"
_MISSING = {"404", "NoSuchKey"}
_UNMET = {"412", "PreconditionFailed"}
_BUSY = {"409", "ConditionalRequestConflict"}
_PAUSES = (0.1, 0.5, 1.0)  # seconds; another conditional write of this name was under way


class S3Objects:
    """Objects below a prefix of a bucket.

    Args:
        endpoint: URL of a server that isn't Amazon's.
        part_bytes: size of the parts of a large file; S3 wants 5 MiB at least.
    """

    def __init__(
        self, bucket: str, prefix: str = "", endpoint: str | None = None, part_bytes: int = PART_BYTES
    ) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.part_bytes = part_bytes
        with explained(self.url):
            self.client = client_of(checked_endpoint(endpoint))

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str | None = None, media: str = MEDIA) -> str:
        check_condition(absent, match)
        mark = uuid4().hex
        request: dict[str, Any] = {**self._at(key), "Body": data, "ContentType": media, "Metadata": {_MARK: mark}}
        request["ContentMD5"] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        if absent:
            request["IfNoneMatch"] = "*"
        if match is not None:
            request["IfMatch"] = match
        with explained(self._name(key)):
            try:
                return self._patient(request)["ETag"]
            except ClientError as error:
                if code_of(error) not in _UNMET | _BUSY | (_MISSING if match else set()):
                    raise
            there = self._head(key)
        # boto3 sends a request again when its answer is lost: what is there may be ours
        if there is not None and there["Metadata"].get(_MARK) == mark:
            return there["ETag"]
        raise conflict(self._name(key), there["ETag"] if there else None, match)

    def put_file(self, key: str, path: Path, *, absent: bool = False, media: str = MEDIA) -> str:
        with readable_file(path):
            size = path.stat().st_size
        if size <= self.part_bytes:
            with readable_file(path):
                data = path.read_bytes()
            return self.put(key, data, absent=absent, media=media)
        name = self._name(key)
        with explained(name):
            # the condition counts at the end; what can't be written needn't be sent
            if absent and (there := self._head(key)) is not None:
                raise conflict(name, there["ETag"], None)
            return upload(self.client, Place(name, self._at(key)), path, self.part_bytes, media, absent)

    def get(self, key: str) -> Held | None:
        with explained(self._name(key)):
            answer = self._open(key)
            return Held(answer["Body"].read(), answer["ETag"]) if answer else None

    def head(self, key: str) -> Stat | None:
        with explained(self._name(key)):
            answer = self._head(key)
        return Stat(answer["ContentLength"], answer["ETag"]) if answer else None

    def digest(self, key: str) -> Digest | None:
        with explained(self._name(key)):
            answer = self._open(key)
            return hash_of(answer["Body"].iter_chunks(_CHUNK)) if answer else None

    def keys(self, prefix: str = "") -> list[str]:
        with explained(self.url):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + check_prefix(prefix)
            )
            names = [one["Key"].removeprefix(self.prefix) for page in pages for one in page.get("Contents", [])]
        # a name that ends so is how consoles show an empty folder
        return sorted(check_key(name) for name in names if not name.endswith("/"))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + check_key(key)}

    def _name(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _patient(self, request: dict[str, Any]) -> dict[str, Any]:
        """The write, tried again while the server says that another one is under way."""
        for pause in _PAUSES:
            try:
                return self.client.put_object(**request)
            except ClientError as error:
                if code_of(error) not in _BUSY:
                    raise
                time.sleep(pause)
        return self.client.put_object(**request)

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return self.client.head_object(**self._at(key))
        except ClientError as error:
            if code_of(error) not in _MISSING:
                raise
        # the answer has no body that would say whether it's the object or the bucket that is missing
        self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + key, MaxKeys=1)
        return None

    def _open(self, key: str) -> dict[str, Any] | None:
        try:
            return self.client.get_object(**self._at(key))
        except ClientError as error:
            if code_of(error) not in _MISSING:
                raise
        return None


def checked_endpoint(endpoint: str | None) -> str | None:
    """A server's URL.

    Raises:
        BadSetting: it is no http(s) URL, or has credentials in it; they aren't repeated.
    """
    if endpoint is None or re.fullmatch(
        r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:\d+)?(/[A-Za-z0-9._/-]*)?", endpoint
    ):
        return endpoint
    shown = endpoint.rpartition("@")[2].partition("?")[0]
    raise BadSetting(
        f"NIGHTSHIFT_S3_ENDPOINT ends in {shown!r}: that is no server's address",
        do="set it to `https://host:port`, without credentials, or unset it to use Amazon's",
    )


def client_of(endpoint: str | None, read_seconds: float = 60) -> Any:
    """boto3's client with our time-outs and retries; its credentials come from boto3's own chain."""
    return Session().client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=5,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": 3},
            # every write carries its MD5, which every S3 server checks; newer checksums not all of them know
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if endpoint else {},
        ),
    )
