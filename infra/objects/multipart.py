"""A large file sent to S3 in parts. A killed upload goes on from the parts that are there.

The server keeps the parts of an upload that never ended; they cost money until it is ended. An upload is gone on with
only if all its parts are this file's, so that another file's upload under the same name is left alone. What nobody goes
on with stays: give the bucket a lifecycle rule that ends incomplete uploads after some days.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from infra.errors import ObjectError
from infra.objects.base import conflict, readable_file
from infra.objects.explain import code_of, retries_of

_MOST_PARTS = 9_000  # S3 takes 10,000
_MIB = 1 << 20
_AT_ONCE = 4  # parts under way


class Place(NamedTuple):
    """The object: what to call it in messages, and in requests."""

    name: str
    at: dict[str, str]


class Part(NamedTuple):
    number: int  # from 1
    offset: int
    size: int


class Sent(NamedTuple):
    """A part that the server has."""

    etag: str
    size: int


def parts_of(size: int, part_bytes: int) -> list[Part]:
    """How a file is cut: parts of one size but for the last, larger ones where there would be too many."""
    each = max(part_bytes, math.ceil(size / _MOST_PARTS / _MIB) * _MIB)
    return [
        Part(number, offset, min(each, size - offset)) for number, offset in enumerate(range(0, size, each), start=1)
    ]


def upload(client: Any, place: Place, path: Path, part_bytes: int, media: str, absent: bool) -> str:
    """Send the parts that the server lacks, then make the object of them; returns its etag.

    Raises:
        ObjectConflict: ``absent``, and the object was written meanwhile.
        ObjectError: the file changed while it was sent.
        ClientError: from the server.
    """
    with readable_file(path):
        before = path.stat()
    parts = {part.number: part for part in parts_of(before.st_size, part_bytes)}

    @cache
    def md5(number: int) -> str:
        return _md5(_read(path, parts[number])).hexdigest()

    upload_id, there = _found(client, place, parts, md5)
    if upload_id is None:
        upload_id = client.create_multipart_upload(**place.at, ContentType=media)["UploadId"]

    def send(part: Part) -> str:
        if part.number in there:
            return there[part.number].etag
        data = _read(path, part)
        checked = base64.b64encode(_md5(data).digest()).decode()
        return client.upload_part(
            **place.at, UploadId=upload_id, PartNumber=part.number, Body=data, ContentMD5=checked
        )["ETag"]

    try:
        with _pool() as pool:
            etags = list(pool.map(send, parts.values()))
    except ClientError as error:
        # another process that went on with the same upload may have ended it
        taken = _etag(client, place) if absent and code_of(error) == "NoSuchUpload" else None
        if taken is None:
            raise
        raise conflict(place.name, taken, None) from error
    with readable_file(path):
        after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        client.abort_multipart_upload(**place.at, UploadId=upload_id)
        raise ObjectError(f"{path} changed while it was sent", do="send it again once nobody writes to it")
    return _completed(client, place, upload_id, etags, absent)


def _completed(client: Any, place: Place, upload_id: str, etags: list[str], absent: bool) -> str:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    condition = {"IfNoneMatch": "*"} if absent else {}
    try:
        return client.complete_multipart_upload(
            **place.at, UploadId=upload_id, MultipartUpload={"Parts": parts}, **condition
        )["ETag"]
    except ClientError as error:
        code, retried = code_of(error), retries_of(error) > 0
        if code not in {"412", "PreconditionFailed", "409", "ConditionalRequestConflict", "NoSuchUpload"}:
            raise
        there = _etag(client, place)
        # the answer to a first request may have been lost; another process may have ended this very upload
        if there is not None and there == whole_etag(etags) and (retried or code == "NoSuchUpload"):
            return there
        if code == "NoSuchUpload":
            raise
    client.abort_multipart_upload(**place.at, UploadId=upload_id)
    raise conflict(place.name, there, None)


def whole_etag(etags: list[str]) -> str:
    """The etag that S3 gives an object made of parts, from theirs."""
    parts = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    return f'"{_md5(parts).hexdigest()}-{len(etags)}"'


def _found(
    client: Any, place: Place, parts: dict[int, Part], md5: Callable[[int], str]
) -> tuple[str | None, dict[int, Sent]]:
    """The upload of this file that has the most parts, and those."""
    best: tuple[str | None, dict[int, Sent]] = (None, {})
    for upload_id in _uploads(client, place):
        sent = _sent(client, place, upload_id)
        if len(sent) > len(best[1]) and all(_is(parts.get(number), one, md5) for number, one in sent.items()):
            best = (upload_id, sent)
    return best


def _is(part: Part | None, sent: Sent, md5: Callable[[int], str]) -> bool:
    return part is not None and part.size == sent.size and md5(part.number) == sent.etag.strip('"')


def _uploads(client: Any, place: Place) -> Iterator[str]:
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=place.at["Bucket"], Prefix=place.at["Key"])
    for page in pages:
        for one in page.get("Uploads", []):
            if one["Key"] == place.at["Key"]:
                yield one["UploadId"]


def _sent(client: Any, place: Place, upload_id: str) -> dict[int, Sent]:
    pages = client.get_paginator("list_parts").paginate(**place.at, UploadId=upload_id)
    try:
        return {one["PartNumber"]: Sent(one["ETag"], one["Size"]) for page in pages for one in page.get("Parts", [])}
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise
    return {}  # ended since it was listed


def _etag(client: Any, place: Place) -> str | None:
    try:
        return client.head_object(**place.at)["ETag"]
    except ClientError as error:
        if code_of(error) != "404":
            raise
    return None


def _read(path: Path, part: Part) -> bytes:
    with readable_file(path), path.open("rb") as file:
        file.seek(part.offset)
        return file.read(part.size)


def _md5(data: bytes) -> Any:
    return hashlib.md5(data, usedforsecurity=False)


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """After a part failed, no other is begun."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
