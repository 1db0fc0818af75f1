"""Named objects in a folder or under ``s3://bucket/prefix``, with conditional writes."""

import re
from pathlib import Path

from infra.digest import Digest, digest_file
from infra.errors import ObjectConflict, ObjectError
from infra.objects.base import MEDIA, Held, Objects, Stat, check_key
from infra.objects.folder import FolderObjects
from infra.settings import Settings

__all__ = [
    "MEDIA",
    "Held",
    "Objects",
    "Stat",
    "bucket_and_key",
    "check_conditions",
    "check_key",
    "open_objects",
    "put_once",
]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_objects(url: str, settings: Settings) -> Objects:
    """The objects at a folder's path or an ``s3://bucket/prefix``.

    Raises:
        ObjectError: the place can't be one; whether it can be reached shows when it is used.
    """
    scheme, found, _ = url.partition("://")
    if not found and url.strip():
        return FolderObjects(Path(url))
    if scheme != "s3":
        # what stands before an @ may be a password
        raise ObjectError(
            f"{url.rpartition('@')[2]!r} is no place for objects", do="give a folder or `s3://bucket/prefix`"
        )
    bucket, prefix = bucket_and_key(url)
    from infra.objects.s3 import S3Objects

    return S3Objects(bucket, check_key(prefix.rstrip("/")) if prefix else "", settings.s3_endpoint)


def bucket_and_key(url: str) -> tuple[str, str]:
    """Bucket, and key or prefix, of an ``s3://`` address.

    Raises:
        ObjectError: the bucket can't be one.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ObjectError(
            f"{bucket.rpartition('@')[2]!r} can't be an S3 bucket's name",
            do="write `s3://bucket/prefix`; credentials come from the environment or a profile, never from the address",
        )
    return bucket, key


def put_once(objects: Objects, key: str, path: Path, media: str = MEDIA) -> Digest:
    """Write a file that must never change: the same bytes a second time are no conflict, other bytes are.

    What is there is read, so that a killed writer can simply do everything again.

    Raises:
        ObjectConflict: the object is there, with other bytes.
    """
    digest = digest_file(path)
    try:
        objects.put_file(key, path, absent=True, media=media)
    except ObjectConflict as error:
        found = objects.digest(key)
        if found == digest:
            return digest
        raise ObjectConflict(
            f"{objects.url}/{key} holds {found}, and was to be {digest}",
            do="find out who wrote it; it was not replaced",
        ) from error
    return digest


def check_conditions(objects: Objects) -> None:
    """Try whether the place keeps its word: some S3 servers ignore conditions, and overwrite.

    Raises:
        ObjectError: it does; nothing that relies on conditions may be kept there.
    """
    key = "conditions.probe"
    if objects.head(key) is None:
        objects.put(key, b"probe\n")
    for header, absent, match in (("If-None-Match", True, None), ("If-Match", False, '"0"')):
        try:
            objects.put(key, b"probe\n", absent=absent, match=match)
        except ObjectConflict:
            continue
        raise ObjectError(
            f"{objects.url} ignores {header}: a write replaced what it must not",
            do="use an S3 server that honours If-None-Match and If-Match",
        )
