"""What every place for named objects can do, and which names an object may have."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from infra.digest import Digest
from infra.errors import ObjectConflict, ObjectError

MEDIA = "application/octet-stream"

# our own files in a folder: a lock, and what isn't whole yet
OWN = ".nightshift"

# what every file system and every S3 server takes as it stands
_PART = re.compile(r"[A-Za-z0-9._+=@,~ -]+")
_LONGEST_PART = 255  # bytes of a file name
_LONGEST_KEY = 900  # S3 takes 1024 with the place's own prefix


class Held(NamedTuple):
    """An object's bytes, and the mark of exactly these bytes at this place."""

    data: bytes
    etag: str


class Stat(NamedTuple):
    size: int
    etag: str


class Objects(Protocol):
    """Named objects at one place. A name (key) is a relative path with ``/``, see ``check_key``.

    Every method raises an ObjectError for a bad name, or a place that is missing, unreachable or closed to us.
    """

    @property
    def url(self) -> str: ...

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str | None = None, media: str = MEDIA) -> str:
        """Write an object, whole or not at all; returns its etag.

        Args:
            absent: only if there is no such object.
            match: only if the object there has this etag.

        Raises:
            ObjectConflict: the condition doesn't hold; nothing was written.
        """
        ...

    def put_file(self, key: str, path: Path, *, absent: bool = False, media: str = MEDIA) -> str:
        """Write a file of any size as an object, whole or not at all; returns its etag.

        Raises:
            ObjectConflict: ``absent``, and there is such an object.
        """
        ...

    def get(self, key: str) -> Held | None:
        """The object, or None where there is none."""
        ...

    def head(self, key: str) -> Stat | None: ...

    def digest(self, key: str) -> Digest | None:
        """Digest of the bytes there, all of them read now."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """Names that begin with ``prefix``, sorted."""
        ...


def check_key(key: str) -> str:
    """A name that can't leave its place, and means the same in a folder and on S3.

    Raises:
        ObjectError: names the key and what is wrong with it.
    """
    reason = _wrong(key)
    if reason:
        raise ObjectError(
            f"{key!r:.200} can't name an object: {reason}",
            do="use relative paths like `exports/model.safetensors`, of letters, digits and ._-+=@,~ and space",
        )
    return key


def check_prefix(prefix: str) -> str:
    """The beginning of a name: like a name, but it may end anywhere."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def _wrong(key: str) -> str | None:
    parts = key.split("/")
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it is absolute"
    if len(key) > _LONGEST_KEY:
        return f"it has {len(key)} characters, more than {_LONGEST_KEY}"
    for part in parts:
        if not part:
            return "a part of it is empty"
        if part in {".", ".."}:
            return f"{part!r} would leave its folder"
        if not _PART.fullmatch(part):
            strange = next(one for one in part if not _PART.fullmatch(one))
            return f"it holds {strange!r}"
        if len(part) > _LONGEST_PART:
            return f"a part of it has {len(part)} characters, more than {_LONGEST_PART}"
    return f"{OWN!r} is kept for our own files" if parts[0] == OWN else None


def check_condition(absent: bool, match: str | None) -> None:
    if absent and match is not None:
        raise ObjectError("an object can't be both absent and matched", do="give `absent` or `match`, not both")
    if match is not None and not match:
        raise ObjectError("an empty etag matches nothing", do="give the etag that `get` returned, or `absent`")


def conflict(name: str, found: str | None, match: str | None) -> ObjectConflict:
    """The error of a condition that doesn't hold.

    Args:
        name: the object, with its place.
        found: etag of what is there, None for nothing.
        match: the etag that was expected, None for nothing.
    """
    there = f"is there with etag {found}" if found else "isn't there"
    wanted = f"was to be replaced only with etag {match}" if match else "was to be written only if absent"
    return ObjectConflict(
        f"{name} {there}, and {wanted}", do="read it again and decide anew: somebody else wrote it in between"
    )


@contextmanager
def readable_file(path: Path) -> Iterator[None]:
    """A local file that can't be read, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise ObjectError(
            f"the file {path} can't be read: {error.strerror or error}", do="check the path and its permissions"
        ) from error
