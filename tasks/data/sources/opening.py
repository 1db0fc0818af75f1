"""The bytes of an object as it was listed, and whether they are still there when they are read."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from infra.digest import digest_of
from infra.errors import ObjectChanged, ObjectError
from infra.objects import bucket_and_key
from infra.settings import Settings
from tasks.data.sources.objects import SourceObject
from tasks.errors import SourceChanged, SourceError

CHUNK = 1 << 20

# a file written so lately may be written now: its bytes are hashed, to tell what was appended from what was rewritten
_LIVE_NS = 600 * 10**9

_AGAIN = "nothing to mend: it is read again; if it never holds still, point the source at finished files"


class Raw(Protocol):
    """An object's bytes as they lie there."""

    def chunks(self) -> Iterator[bytes]:
        """All of them, from the first.

        Raises:
            SourceChanged: it isn't the object that was listed.
            SourceError: the place can't be read.
        """
        ...

    def growing(self) -> bool:
        """Whether more has been appended than was read.

        Raises:
            SourceChanged: what was read isn't there any more: it may be of two states.
        """
        ...


@contextmanager
def opened(obj: SourceObject, settings: Settings) -> Iterator[Raw]:
    """The object, to be read.

    Raises:
        SourceChanged, SourceError: as ``Raw`` does.
    """
    if obj.on_s3:
        yield _OnS3(obj, settings)
        return
    with open_local(obj) as file:
        yield LocalFile(obj, file)


def identity(obj: SourceObject) -> str:
    """What says that the object is unchanged: its version, or the digest of a local file's bytes, which are read.

    Raises:
        SourceChanged, SourceError: the file isn't the one that was listed, or can't be read.
    """
    if obj.refused:
        return digest_of(["refused", obj.url, obj.refused])
    if obj.on_s3:
        return obj.version
    sha = hashlib.sha256()
    with open_local(obj) as file:
        local = LocalFile(obj, file)
        for chunk in local.chunks():
            sha.update(chunk)
        local.growing()
    return "sha256:" + sha.hexdigest()


def changed(obj: SourceObject, how: str) -> SourceChanged:
    return SourceChanged(f"{obj.url} {how}", do=_AGAIN)


class _OnS3:
    def __init__(self, obj: SourceObject, settings: Settings) -> None:
        self.obj, self.endpoint = obj, settings.s3_endpoint

    def chunks(self) -> Iterator[bytes]:
        from infra.objects.foreign import read_foreign

        bucket, key = bucket_and_key(self.obj.url)
        try:
            yield from read_foreign(bucket, key, self.obj.version, self.endpoint)
        except ObjectChanged as error:
            raise SourceChanged(error.what, do=_AGAIN) from error
        except ObjectError as error:
            raise SourceError(error.what, do=error.do) from error

    def growing(self) -> bool:
        return False  # an object on S3 is replaced, and the read is pinned


class LocalFile:
    """A file, read to the length it had when it was listed."""

    def __init__(self, obj: SourceObject, file: BinaryIO) -> None:
        self.obj, self.file = obj, file
        self.before = os.fstat(file.fileno())
        if self.before.st_ino != obj.inode:
            raise changed(obj, "was replaced since it was listed")
        if self.before.st_size < obj.size:
            raise changed(obj, f"has {self.before.st_size:,} bytes, and had {obj.size:,} when it was listed")
        appended = self.before.st_size > obj.size
        if not appended and self.before.st_mtime_ns != obj.modified_ns:
            raise changed(obj, "was written since it was listed")
        self.live = appended or time.time_ns() - self.before.st_mtime_ns < _LIVE_NS
        self.seen = hashlib.sha256()
        self.read = 0

    def chunks(self) -> Iterator[bytes]:
        self.seen, self.read = hashlib.sha256(), 0
        for chunk in self._bytes(self.obj.size):
            if self.live:
                self.seen.update(chunk)
            self.read += len(chunk)
            yield chunk

    def growing(self) -> bool:
        after = os.fstat(self.file.fileno())
        if (after.st_size, after.st_mtime_ns) == (self.before.st_size, self.before.st_mtime_ns):
            return after.st_size > self.obj.size
        if not self.live:
            # the next try finds it live, and tells a rewritten file from one that grew
            raise changed(self.obj, "was written while it was read")
        again = hashlib.sha256()
        for chunk in self._bytes(self.read):
            again.update(chunk)
        if again.digest() != self.seen.digest():
            raise changed(self.obj, "was rewritten while it was read")
        return after.st_size > self.obj.size

    def check_unchanged(self) -> None:
        """
        Raises:
            SourceChanged: it was written since it was listed, if only at its end.
        """
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.obj.size, self.obj.modified_ns):
            raise changed(self.obj, "was written since it was listed")

    def _bytes(self, size: int) -> Iterator[bytes]:
        with _reading(self.obj):
            self.file.seek(0)
        while size:
            with _reading(self.obj):
                chunk = self.file.read(min(CHUNK, size))
            if not chunk:
                raise changed(self.obj, "was cut short while it was read")
            size -= len(chunk)
            yield chunk


def open_local(obj: SourceObject) -> BinaryIO:
    """A local file, unbuffered.

    Raises:
        SourceChanged, SourceError: it is gone, or can't be read.
    """
    with _reading(obj):
        return open(obj.url, "rb", buffering=0)


@contextmanager
def _reading(obj: SourceObject) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise changed(obj, "was removed since it was listed") from error
    except OSError as error:
        raise SourceError(
            f"the source {obj.url} can't be read: {error.strerror or error}", do="check its permissions and disk"
        ) from error
