"""Objects on S3 that others write: listed, and read in exactly the state they were listed in.

Their names are theirs, so unlike ``Objects`` this takes any key. A read is pinned to the object's ETag, and to its
version where the bucket keeps versions; after a broken connection it goes on from the byte it had.
"""

import os
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from infra.errors import ObjectChanged, ObjectError
from infra.objects.explain import code_of, explained
from infra.objects.s3 import checked_endpoint, client_of

CHUNK = 1 << 20
# a server that says nothing for so long is asked again
READ_SECONDS = 30
# before each new try of a read that broke off; what comes in between starts the count anew
PAUSES = (0.2, 1.0, 3.0, 10.0)

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "412", "PreconditionFailed"}
_PARTIAL = 206


class Listed(NamedTuple):
    """An object of a bucket, as it is listed: its key, bytes and ETag."""

    key: str
    size: int
    etag: str


def list_foreign(bucket: str, prefix: str, endpoint: str | None) -> list[Listed]:
    """All objects whose key begins with ``prefix``: one call a thousand.

    Raises:
        ObjectError: the bucket is missing, closed to us or can't be reached.
    """
    with explained(f"s3://{bucket}/{prefix}"):
        pages = _client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        # a name that ends so is how consoles show an empty folder
        return [
            Listed(one["Key"], one["Size"], one["ETag"])
            for page in pages
            for one in page.get("Contents", [])
            if not one["Key"].endswith("/")
        ]


def read_foreign(bucket: str, key: str, etag: str, endpoint: str | None) -> Iterator[bytes]:
    """The object's bytes in chunks, all of them of the state that has this ETag.

    Raises:
        ObjectChanged: it is gone or another by now; what came before was of the old state.
        ObjectError: the place can't be read, after several tries.
    """
    reading = _Reading(bucket, key, etag, endpoint)
    failed = 0
    try:
        while not reading.done:
            try:
                with explained(reading.name):
                    chunk = reading.more()
            except ObjectError as error:
                # at the start boto3 has tried several times, and says it well
                if reading.size is None or not _passes(error.__cause__):
                    raise
                if failed == len(PAUSES):
                    raise _broken_off(reading, failed, error.__cause__) from error
                reading.drop()
                time.sleep(PAUSES[failed])
                failed += 1
                continue
            failed = 0
            yield chunk
    finally:
        reading.drop()


class _Reading:
    """An object on its way: how far it is read, and the connection, where there is one."""

    def __init__(self, bucket: str, key: str, etag: str, endpoint: str | None) -> None:
        self.name = f"s3://{bucket}/{key}"
        self.client = _client(endpoint)
        self.request: dict[str, Any] = {"Bucket": bucket, "Key": key, "IfMatch": etag}
        self.etag = etag
        self.body: Any = None
        self.offset = 0
        self.size: int | None = None

    @property
    def done(self) -> bool:
        return self.size is not None and self.offset >= self.size

    def more(self) -> bytes:
        """The next bytes, over a new connection where there is none."""
        if self.body is None:
            self._connect()
        assert self.body is not None
        assert self.size is not None
        chunk = self.body.read(min(CHUNK, self.size - self.offset))
        if not chunk and not self.done:
            raise IncompleteReadError(actual_bytes=self.offset, expected_bytes=self.size)
        self.offset += len(chunk)
        return chunk

    def drop(self) -> None:
        if self.body is not None:
            self.body.close()
            self.body = None

    def _connect(self) -> None:
        ranged = {"Range": f"bytes={self.offset}-"} if self.offset else {}
        try:
            answer = self.client.get_object(**self.request, **ranged)
        except ClientError as error:
            if code_of(error) in _GONE:
                raise _changed(self.name) from error
            raise
        self.body = answer["Body"]
        if answer["ETag"].strip('"') != self.etag.strip('"'):  # some servers ignore If-Match
            raise _changed(self.name)
        if self.size is None:
            self.size = answer["ContentLength"]
        if answer.get("VersionId", "null") != "null":
            self.request["VersionId"] = answer["VersionId"]
        if ranged and answer["ResponseMetadata"]["HTTPStatusCode"] != _PARTIAL:  # some ignore Range
            left = self.offset
            while left and (skipped := len(self.body.read(min(CHUNK, left)))):
                left -= skipped


def _passes(error: BaseException | None) -> bool:
    """Whether it may go by itself: a connection, or a server that is overloaded."""
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError)


def _broken_off(reading: _Reading, failed: int, why: BaseException | None) -> ObjectError:
    return ObjectError(
        f"{reading.name} broke off {failed + 1} times after {reading.offset:,} of its {reading.size:,} bytes "
        f"({type(why).__name__})",
        do="check the network and the server, then start the night again",
    )


def _changed(name: str) -> ObjectChanged:
    return ObjectChanged(f"{name} is gone, or another than it was when it was listed", do="list it again and read anew")


def stat_foreign(bucket: str, key: str, endpoint: str | None) -> Listed | None:
    """The object as it is now, or None where there is none."""
    return next((one for one in list_foreign(bucket, key, endpoint) if one.key == key), None)


def _client(endpoint: str | None) -> Any:
    # a client is not to be shared with a forked process
    return _client_of_process(endpoint, os.getpid(), READ_SECONDS)


@lru_cache(maxsize=4)
def _client_of_process(endpoint: str | None, process: int, seconds: float) -> Any:
    with explained("S3"):
        return client_of(checked_endpoint(endpoint), seconds)


def forget_clients() -> None:
    """Let the next call look for credentials anew."""
    _client_of_process.cache_clear()
